"""Key records in SQL."""
