"""Encoders of finished runs and from elsewhere: loaded, scored, handed on."""
