"""A, then rate-limited B, then C, which dies without saying so."""
