"""Protocols of dense prediction, run on request on the primary encoder of a finished run: one file each."""
