"""Verifies logs, records and stores against the rules."""
