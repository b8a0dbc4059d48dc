"""Datasets whose images have label maps, depths, objects or numbers instead of a class."""
