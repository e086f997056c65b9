"""A small token service in the Docker registry's way, for those who have none: it answers `GET` and `POST /token`.

A process of its own (`notary-server tokens serve`). It knows nothing of metadata, storage and signing.
"""
