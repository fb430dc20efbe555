"""Files of other systems taken as reports: Primero v2 cases, HTCDS rows. Nothing is guessed."""
