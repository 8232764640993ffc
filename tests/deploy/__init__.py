"""What is shipped to run the product elsewhere."""
