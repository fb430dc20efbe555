"""The reading of free text: what a careful reader concludes from one message."""

from services.intake.reading.reader import Command, Noise, Reading, read

__all__ = ["Command", "Noise", "Reading", "read"]
