"""Safe contact: whether, when and by which number somebody may be reached (SAFETY 1)."""
