"""TUF in Notary's dialect: pure functions over bytes and values. No I/O, no clock, no framework."""
