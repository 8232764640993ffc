"""The pages, by HTTP and in a real browser."""
