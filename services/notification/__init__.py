"""Notification: tells providers' systems (and later people) what happened, once a notice's id."""
