"""What people of operations see: each service serves a part about itself, one page has all four.

No part holds personal data: names of consumers and providers, kinds, reasons, counts, times.
"""
