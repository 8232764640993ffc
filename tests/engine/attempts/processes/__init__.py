"""Tests of attempts in processes."""
