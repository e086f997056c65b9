"""The signer's HTTP surface."""
