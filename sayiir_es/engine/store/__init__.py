"""Snapshot stores: the port, its adapters, and where they lie."""
