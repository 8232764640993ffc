"""Attempts that executors elsewhere run: who they are, what waits, what they have."""
