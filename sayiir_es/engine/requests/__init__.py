"""Answers what clients ask the owner of a partition."""
