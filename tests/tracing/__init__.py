"""Traces: spans of clients, decisions and attempts, and how they are exported."""
