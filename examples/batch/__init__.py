"""A batch that fans out over hundreds of activities."""
