"""Referral's pages, a folder a room."""
