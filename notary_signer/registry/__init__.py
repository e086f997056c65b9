"""The records of all keys, in Notary's own table."""
