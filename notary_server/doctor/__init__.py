"""Whether a server could work with its configuration: everything it depends on is tried, and what is wrong has a remedy."""
