"""Values only: commands, events, rows, limits and errors."""
