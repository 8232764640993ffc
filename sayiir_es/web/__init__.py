"""Pages for people, and the REST API: a client of a backend like any other."""
