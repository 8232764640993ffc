"""The verbs of `sayiir-es schema`."""
