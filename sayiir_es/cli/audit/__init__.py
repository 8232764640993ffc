"""The verbs of `sayiir-es audit`."""
