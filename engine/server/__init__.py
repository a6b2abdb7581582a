"""The server machine: locks, matching, timers and dispatch around the pure core."""
