"""The story that stormproof starts from: System A, then rate-limited B, then C that fails without saying so."""
