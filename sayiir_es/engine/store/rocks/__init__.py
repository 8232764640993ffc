"""The snapshot store in RocksDB."""
