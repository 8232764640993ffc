"""Tests of `kafka`."""
