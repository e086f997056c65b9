"""Repositories with all their versions as one file, and back: for backups, across an air gap, to another server."""
