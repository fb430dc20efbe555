"""Pages that intake serves; each room is a folder."""
