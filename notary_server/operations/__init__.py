"""Use cases: one file each, async, talking to ports only."""
