"""Tests of `instance`."""
