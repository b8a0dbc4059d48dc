"""Views of images, a whole batch at a time."""
