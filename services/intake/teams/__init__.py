"""Who works for a place of help here: its head invites and ends, the centre may too."""
