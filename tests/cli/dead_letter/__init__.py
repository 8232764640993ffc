"""Tests of `dead_letter`."""
