"""Tests of the ground: settings, logs, the wheel, the compose file."""
