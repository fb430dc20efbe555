"""How Pashe is run."""
