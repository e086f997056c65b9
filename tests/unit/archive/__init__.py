"""Tests of `notary_server.archive`."""
