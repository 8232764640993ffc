"""Measures of the engine: steps a second, CPU time a step, and latency."""
