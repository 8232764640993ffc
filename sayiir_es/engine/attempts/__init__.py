"""Attempts at tasks: from owed to decided, and what runs them."""
