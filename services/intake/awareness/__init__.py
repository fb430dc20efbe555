"""Awareness: what is told in a season of risk, and how many heard it; nobody is followed."""
