"""Consent: what was agreed, by whom, for what and for whom; recorded, changed, taken back."""
