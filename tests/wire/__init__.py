"""Tests of bytes and values: schemas, codecs, garbage, and bytes that never change."""
