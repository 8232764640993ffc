"""Audits: histories that verify clean, and every lie that does not."""
