"""Certificates that change while real processes use them."""
