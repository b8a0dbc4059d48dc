"""Files: reading and writing them safely, and the values that their text holds."""
