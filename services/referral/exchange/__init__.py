"""Formats of others at the edge of referral: made from referrals and read into them, never kept."""
