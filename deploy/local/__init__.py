"""Brings server and signer up on one machine, for trying out and for tests."""
