"""The page of one instance: of the log, or of a file that somebody handed in."""
