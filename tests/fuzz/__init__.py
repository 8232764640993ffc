"""Random and mutated records through every decoder: typed errors only."""
