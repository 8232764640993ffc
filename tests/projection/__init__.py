"""Projections: each event once in the view, whatever is killed, on any store."""
