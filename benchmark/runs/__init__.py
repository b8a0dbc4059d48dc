"""Running an experiment: its runs in order, each built, trained, tested and recorded."""
