"""Ways in for people who write Python: clients, backends, synchronous helpers."""
