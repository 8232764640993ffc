"""One module per construct: its build checks, its decisions, its folds, its status."""
