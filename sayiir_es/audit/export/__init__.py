"""Exports of a log: written, checked, read in again."""
