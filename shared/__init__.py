"""The published language and the plumbing of every service; no business rule."""
