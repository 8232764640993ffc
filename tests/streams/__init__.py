"""The stream as a product: consumers, processors and producers that are not ours."""
