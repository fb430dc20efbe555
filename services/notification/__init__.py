"""Notification: tells providers' systems by webhook, and persons by SMS, what happened."""
