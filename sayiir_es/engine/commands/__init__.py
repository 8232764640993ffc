"""Reading of commands: from the topic to the owner that decides on them."""
