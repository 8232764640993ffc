"""Tests of executors: the protocol from the side of whoever runs attempts."""
