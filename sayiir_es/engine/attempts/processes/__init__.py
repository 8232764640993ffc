"""Attempts in processes of their own: spawned, kept for the next one, killable."""
