"""What a database holds of repositories, looked at as a whole: what is so, and what to do. For takeover and upkeep."""
