"""Devices, locks, processes and signals of this machine."""
