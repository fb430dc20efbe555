"""OpenRosa, as ODK Collect and KoboCollect speak it."""
