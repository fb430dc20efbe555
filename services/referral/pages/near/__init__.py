"""`/h`: which offices give help near a place, for anybody, without telling anything.

Where somebody can be found who hides is never shown: no offer of shelter, rescue or other care, and
nothing of whoever makes one. What is looked for goes in a form, so that no address tells of it.
"""
