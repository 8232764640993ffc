"""Random programs on every log, with owners that are killed again and again."""
