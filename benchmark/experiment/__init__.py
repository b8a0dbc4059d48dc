"""Configurations: YAML and overrides in, validated experiments and runs out."""
