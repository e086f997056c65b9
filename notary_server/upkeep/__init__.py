"""Stored repositories verified, and old versions pruned: what an operator runs now and then."""
