"""What runs and sweeps leave behind, as files. No torch here."""
