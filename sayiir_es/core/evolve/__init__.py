"""Evolve: an event becomes changed rows."""
