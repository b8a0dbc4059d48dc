"""Ablations and tuning with Optuna: a trial is a point, its runs are its seeds, and no trial sees the test split."""
