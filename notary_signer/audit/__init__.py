"""The audit log: append-only, each record chained to the one before by its hash (docs/operations/audit.md)."""
