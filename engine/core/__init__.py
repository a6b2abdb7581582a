"""The pure core: no clock, no randomness, no I/O, no threads. Time, ids and seeds are arguments."""
