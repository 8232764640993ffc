"""Who may look and act over HTTP, and what every request and response is held to."""
