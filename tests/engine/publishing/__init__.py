"""Tests of the publishing of snapshots."""
