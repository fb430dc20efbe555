"""Referral's part of the desk: who was asked to help, why, and what a person decides."""
