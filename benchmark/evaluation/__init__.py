"""Frozen, versioned protocols that say what an encoder is worth."""
