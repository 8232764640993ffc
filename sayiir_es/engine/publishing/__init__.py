"""Snapshots published on their topic, behind the log."""
