"""When what ran and waited in an instance: lanes of bars, made of its events alone."""
