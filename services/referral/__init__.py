"""Referral: who can help, the offer made to them, and what became of it."""
