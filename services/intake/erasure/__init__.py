"""Erasure: who a person is becomes unreadable for ever, by two persons, never under a hold."""
