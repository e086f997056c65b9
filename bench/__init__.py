"""Side-by-side measurements against Notary 0.7.0: `make bench`, or `python -m bench --help`."""
