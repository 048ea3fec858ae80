"""Data larger than memory: read piece by piece, in every epoch anew."""
