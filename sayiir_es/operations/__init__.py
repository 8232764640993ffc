"""What people look at and do while it runs, for command line, pages and API alike."""
