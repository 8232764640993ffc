"""What the engine does a second, what it costs, and how long one step takes."""
