"""Workflows as pictures: where the boxes stand, and files that show them."""
