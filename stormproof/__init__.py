"""stormproof: does your durable workflow survive the weather?"""
