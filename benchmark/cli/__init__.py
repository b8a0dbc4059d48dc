"""`bench`: one short function per command. Heavy imports stay inside them."""
