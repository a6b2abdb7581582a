"""What can go wrong: fault kinds, plans, explorers."""
