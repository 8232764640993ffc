"""One module per construct: what it decides, what its events change, how it waits."""
