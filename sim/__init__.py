"""The world: kernel, virtual loops, nodes, network, storage, services, scenarios."""
