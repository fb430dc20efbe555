"""What somebody with a receipt may ask and say: status, messages, feedback.

A receipt belongs to a report, never to a person: no answer depends on a referral, a place, a
finding or a delivery (SAFETY 7a).
"""
