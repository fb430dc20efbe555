"""Intake's pages, a folder a room: `docs/pages.md`."""
