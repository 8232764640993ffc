"""Who may look and act over HTTP, and what hostile requests get."""
