"""Tests of the owner of a partition."""
