"""The server machine: matching, timers, queries and dispatch around the pure core."""
