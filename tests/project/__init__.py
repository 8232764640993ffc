"""Tests of settings, logs, the wheel, the benchmark and the compose file."""
