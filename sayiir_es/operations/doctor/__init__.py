"""The examination of a backend: what is wrong, and what to do about it."""
