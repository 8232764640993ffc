"""What rows say to people: a status, and the summary of an instance."""
