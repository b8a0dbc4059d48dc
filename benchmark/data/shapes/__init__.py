"""The embedded dataset `shapes`: procedural scenes."""
