"""The records of runs and sweeps. Nothing here imports torch."""
