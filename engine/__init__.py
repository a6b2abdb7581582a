"""The workflow engine: a pure core, and the API through which code reaches it."""
