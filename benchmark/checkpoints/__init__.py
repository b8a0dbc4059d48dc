"""Encoders from elsewhere, scored like ours, and ours handed on. Everything but `formats` needs torch."""
