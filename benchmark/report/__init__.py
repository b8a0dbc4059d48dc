"""Numbers to pictures and pages. Knows neither torch nor how records are made."""
