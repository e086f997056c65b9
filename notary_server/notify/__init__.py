"""Telling others of changes: signed webhooks, delivered at least once and in order."""
