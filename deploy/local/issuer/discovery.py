"""What the issuer tells about itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from typing import Any

from deploy.local.issuer.keys import ALGORITHM


def metadata_of(url: str) -> dict[str, Any]:
    """Return the metadata of the issuer at an address."""
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "userinfo_endpoint": f"{url}/userinfo",
        "jwks_uri": f"{url}/jwks",
        "invitation_endpoint": f"{url}/invitations",
        "end_session_endpoint": f"{url}/end-session",
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "RS256", "PS256"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "role", "org", "places", "auth_time", "amr", "sid"],
    }
