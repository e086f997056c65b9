"""TUF 1.0 as the specification has it: the second dialect of a repository. Pure, over python-tuf's Metadata API."""
