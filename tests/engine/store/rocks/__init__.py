"""Tests of the snapshot store in RocksDB."""
