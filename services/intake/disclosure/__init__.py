"""Disclosure: who a person is, told to the one provider that said yes, and to staff with a reason.

Cut to what was agreed and to what the service needs; each read is an event (SAFETY 16).
"""
