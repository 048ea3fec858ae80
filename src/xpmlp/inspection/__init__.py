"""A look at data before training on it: what ``xpmlp inspect`` shows."""
