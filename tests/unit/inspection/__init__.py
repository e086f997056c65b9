"""Tests of `notary_server.inspection`."""
