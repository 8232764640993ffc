"""The verbs of `sayiir-es dead-letter`."""
