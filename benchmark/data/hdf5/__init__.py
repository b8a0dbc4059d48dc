"""Encoded images in one HDF5 file per split: read, written, converted, inspected."""
