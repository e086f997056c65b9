"""Tests of `notary_server.upkeep`."""
