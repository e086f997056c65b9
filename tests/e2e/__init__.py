"""Scenarios through the clients in the field: Debian's notary and docker, as a person types them."""
