"""Random programs on every log, under owners that are dropped again and again."""
