"""Faults of disks, files and clocks: killed, damaged, full, cut, strange, jumping."""
