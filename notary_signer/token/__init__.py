"""The PKCS#11 token: one thread owns the module, one session is kept, keys stay inside or leave it wrapped."""
