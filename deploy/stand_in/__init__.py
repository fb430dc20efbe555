"""Images that stand in for the public ones, for where no registry can be reached."""
