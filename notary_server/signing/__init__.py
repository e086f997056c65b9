"""Implementations of the RemoteSigner port."""
