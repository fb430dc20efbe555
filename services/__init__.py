"""The four services; none imports another."""

import gc

# What a start makes stays: the collector of cycles need not walk it again and again meanwhile.
gc.set_threshold(50_000, 20, 20)
