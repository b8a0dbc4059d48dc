"""Images in, batches of views out."""
