"""The pages and the REST API, by HTTP and in a browser."""
