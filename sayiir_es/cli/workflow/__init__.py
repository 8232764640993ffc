"""The verbs of `sayiir-es workflow`, and its drawings."""
