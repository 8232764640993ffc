"""Definitions of workflows, and who can run them."""
