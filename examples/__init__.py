"""Examples: scenarios that run from the wheel, and are told of in the docs."""
