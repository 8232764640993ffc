"""The log in the memory of one process."""
