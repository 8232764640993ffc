"""Tests of the pure core: given, when, then."""
