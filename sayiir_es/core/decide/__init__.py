"""Decide: a command, an outcome or a timer becomes events."""
