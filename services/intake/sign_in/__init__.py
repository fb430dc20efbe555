"""People sign in by OIDC at a configured issuer, and have a session here until it ends."""
