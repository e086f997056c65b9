"""The trust server for Docker Content Trust."""
