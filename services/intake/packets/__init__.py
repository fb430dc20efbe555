"""A case handed to another centre, with consent: packets in other systems' formats, and answers."""
