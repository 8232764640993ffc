"""The pure core: graph, commands, events, decide and evolve. No I/O, no clock."""
