"""Tests of the log port and its adapters."""
