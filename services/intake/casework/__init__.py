"""Case work: the desk's tasks, who is on duty, and how a case comes to its end."""
