"""Tests of `owner`."""
