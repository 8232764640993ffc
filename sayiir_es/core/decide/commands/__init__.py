"""What is decided on commands: one module for each kind."""
