"""A small issuer for the embedded stack: OIDC for people, client credentials for systems.

A process of its own with tables of its own. In its place any other issuer can be configured.
"""
