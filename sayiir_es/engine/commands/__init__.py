"""Commands on their way from the topic to the owner."""
