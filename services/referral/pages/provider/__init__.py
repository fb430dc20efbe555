"""`/provider`: what a worker of a place of help sees and answers, on a phone, without a script.

Each page asks what the interface asks, of the same use cases and with the same rights.
"""
