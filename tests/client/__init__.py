"""Tests of the ways in for people who write Python."""
