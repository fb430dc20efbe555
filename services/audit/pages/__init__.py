"""The pages that audit serves, one folder a room."""
