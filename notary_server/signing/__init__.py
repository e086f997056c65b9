"""The server's side of signing: the signer's client, and keys of this process for tests and trials."""
