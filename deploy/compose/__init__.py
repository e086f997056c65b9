"""What docker-compose.yml's services are configured with."""
