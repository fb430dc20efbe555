"""Attachments: photos and voice notes, sealed as they came; shown blurred, rarely, to few."""
