"""A workflow as data: its nodes, their paths, hashes and codec."""
