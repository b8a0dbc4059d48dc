"""Records to numbers. Knows neither torch nor how records are made."""
