"""Keys from and to Notary's own signer: its table rows, and what protects them."""
