"""A step traced once, planned, and executed again."""
