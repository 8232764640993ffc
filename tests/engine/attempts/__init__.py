"""Tests of `attempts`."""
