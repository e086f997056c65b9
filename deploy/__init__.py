"""Ways to bring the trust server up."""
