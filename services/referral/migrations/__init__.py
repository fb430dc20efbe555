"""Referral's schema."""
