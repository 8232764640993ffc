"""Views of one's own: exactly once, whatever is killed, on any store."""
