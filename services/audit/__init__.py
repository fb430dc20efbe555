"""Audit: every event, for ever, provable."""
