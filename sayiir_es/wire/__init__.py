"""Bytes to values and back: Avro events, Avro and JSON commands, payload codecs."""
