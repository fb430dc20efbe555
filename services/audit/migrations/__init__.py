"""Intake's schema."""
