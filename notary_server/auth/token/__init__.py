"""PURE. A registry token: what its bytes say, who signed it, what it allows. No clock, no files, no network."""
