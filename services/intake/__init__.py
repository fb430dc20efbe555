"""Intake: takes reports over every channel and keeps the cases."""
