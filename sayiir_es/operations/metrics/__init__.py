"""What a process counts and measures, and by which names it is published."""
