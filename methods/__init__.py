"""Self-supervised methods, one file each. Nothing in this package knows the harness that trains them."""
