"""The signer: the one process that touches online keys."""
