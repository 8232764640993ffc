"""Owners that decide and sleep, in virtual time."""
