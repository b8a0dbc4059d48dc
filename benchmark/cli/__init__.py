"""`bench`: one short function per command. Heavy imports (torch, Optuna) stay inside them."""
