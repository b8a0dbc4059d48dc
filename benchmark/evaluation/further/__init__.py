"""Protocols that are run on request, on the primary encoder of a finished run: one function each."""
