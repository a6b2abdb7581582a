"""Scenarios to learn from: each is written as a user would write it, against the public names alone."""
