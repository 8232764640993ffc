"""The kit for users' tests."""
