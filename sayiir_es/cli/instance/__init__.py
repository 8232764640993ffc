"""The verbs of `sayiir-es instance`."""
