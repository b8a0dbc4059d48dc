"""How an experiment is carried out: its runs in order, each built, trained, tested and recorded."""
