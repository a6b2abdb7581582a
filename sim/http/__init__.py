"""HTTP inside the simulation: an ASGI app behind httpx and requests; any other socket is refused by name."""
