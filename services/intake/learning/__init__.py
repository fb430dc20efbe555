"""Learning: short modules with questions, what somebody passed and until when, and who should."""
