"""The PKCS#11 token and the one thread that owns it."""
