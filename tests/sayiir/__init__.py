"""What users of `sayiir` rely on: names, and each decision of the behaviour."""
