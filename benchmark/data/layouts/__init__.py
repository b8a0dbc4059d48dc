"""How folders and files become a dataset: one module a layout, each of which says whether a path is of its kind."""
