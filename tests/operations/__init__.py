"""What command line, pages and API show and do alike."""
