"""What `perf/gpu.py` carries out: stages with a time limit each, their results in JSON, and the page of these."""
