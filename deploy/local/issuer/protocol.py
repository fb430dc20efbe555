"""OAuth 2 and OpenID Connect by Authlib's authorization server: what is ours are rows and claims.

Authlib's server is synchronous: it runs in a thread, and its questions to the database are asked of
the event loop. Two grants: a code for people (PKCE S256 and nonce always, one client with a
secret), client credentials for systems (`private_key_jwt`, RFC 7523). No refresh tokens.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from anyio import from_thread
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidRequestError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import import_key
from starlette.responses import Response

from deploy.local.issuer.clients import JWT_AUTH, Client
from deploy.local.issuer.grants import Code
from deploy.local.issuer.keys import ALGORITHM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authlib.oauth2 import OAuth2Request

    from deploy.local.issuer.grants import Grants
    from deploy.local.issuer.keys import Keys
    from deploy.local.issuer.store import SignedIn

ACCESS: Final = timedelta(minutes=5)
"""How long an access token is good."""

CODE: Final = timedelta(minutes=1)
"""How long an authorization code is good."""

LONGEST_ASSERTION: Final = 300
"""Seconds for which a client's assertion may be good."""

LEEWAY: Final = 30
"""Seconds by which a client's clock may differ."""

SIGNATURES: Final = ("EdDSA", "ES256", "RS256", "PS256")
"""How a client may sign its assertion."""

SYSTEMS: Final = "pashe"
"""The `aud` of a system's access token: the services."""


@dataclass(slots=True)
class _Stands:
    """A code as Authlib asks about it."""

    code: Code
    code_challenge: str
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        return self.code.redirect_uri

    def get_scope(self) -> str:
        return self.code.scope

    def get_nonce(self) -> str:
        return self.code.nonce

    def get_auth_time(self) -> int:
        return self.code.who.auth_time

    def get_acr(self) -> None:
        return

    def get_amr(self) -> list[str]:
        return list(self.code.who.amr)


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_basic"]

    def generate_authorization_code(self) -> str:
        return secrets.token_urlsafe(32)

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        asked = request.payload.data
        stands = Code(
            request.client.client_id,
            asked["redirect_uri"],
            request.scope,
            asked["nonce"],
            asked["code_challenge"],
            request.user,
        )
        from_thread.run(self.server.grants.add_code, code, stands, CODE)

    def query_authorization_code(self, code: str, client: Client) -> _Stands | None:
        found = from_thread.run(self.server.grants.take_code, code, client.client_id)
        return _Stands(found, found.challenge) if found else None

    def delete_authorization_code(self, authorization_code: _Stands) -> None:
        """Do nothing: it was deleted when it was read."""

    def authenticate_user(self, authorization_code: _Stands) -> SignedIn:
        return authorization_code.code.who


class _Challenge(CodeChallenge):  # type: ignore[misc]
    SUPPORTED_CODE_CHALLENGE_METHOD: Final = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:  # noqa: ANN401
        asked = grant.request.payload.data
        if not asked.get("code_challenge") or asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A code_challenge by S256 is needed")
        super().validate_code_challenge(grant, redirect_uri)


class _OpenId(OpenIDCode):  # type: ignore[misc]
    def __init__(self, server: Server) -> None:
        super().__init__(require_nonce=True)
        self._server = server

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:  # noqa: ARG002
        return False  # the client checks it, and each code is good once

    def get_client_algorithm(self, client: Client) -> str:  # noqa: ARG002
        return ALGORITHM

    def get_encode_header(self, client: Client) -> dict[str, str]:  # noqa: ARG002
        return self._server.header("JWT")

    def resolve_client_private_key(self, client: Client) -> Any:  # noqa: ANN401, ARG002
        return self._server.keys.signing(datetime.now(UTC)).key

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        claims = {"iss": self._server.issuer, "aud": client.client_id}
        return claims | {"exp": int(time.time() + ACCESS.total_seconds())}

    def generate_user_info(self, user: SignedIn, scope: str) -> dict[str, Any]:  # noqa: ARG002
        return user.account.claims() | {"sid": user.sid}


class _SystemsGrant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: Final = [JWT_AUTH]


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    def __init__(self, server: Server) -> None:
        super().__init__(leeway=LEEWAY)
        self._server = server

    def get_audiences(self) -> list[str]:
        return [self._server.issuer, f"{self._server.issuer}/token"]

    def resolve_client_public_key(self, client: Client) -> Any:  # noqa: ANN401
        if client.system is None:
            raise InvalidClientError
        return import_key(client.system["jwk"])

    def process_assertion_claims(self, assertion: str, resolve_key: Any) -> Any:  # noqa: ANN401
        try:
            claims = jwt.decode(assertion, resolve_key, algorithms=list(SIGNATURES)).claims
        except (JoseError, ValueError):
            raise InvalidClientError(description="The assertion does not verify") from None
        until = claims.get("exp")
        if not isinstance(until, int) or until > time.time() + LONGEST_ASSERTION + LEEWAY:
            raise InvalidClientError(description="The assertion is good for too long")
        if not isinstance(claims.get("jti"), str):
            raise InvalidClientError(description="The assertion has no jti")
        self.verify_claims(claims)
        return claims

    def validate_jti(self, claims: Mapping[str, Any], jti: str) -> bool:
        until = datetime.fromtimestamp(claims["exp"] + LEEWAY, UTC)
        use = self._server.grants.use_assertion
        return bool(from_thread.run(use, claims["sub"], jti, until))


class Server(AuthorizationServer):  # type: ignore[misc]
    """The authorization server of one issuer. Its methods are called in a thread."""

    def __init__(self, issuer: str, desk: Client, grants: Grants, keys: Keys) -> None:
        """Take the issuer's address, the client by which people sign in, rows and keys."""
        super().__init__()
        self.issuer, self.desk, self.grants, self.keys = issuer, desk, grants, keys
        self.register_grant(_CodeGrant, [_Challenge(required=True), _OpenId(self)])
        self.register_grant(_SystemsGrant)
        self.register_client_auth_method(JWT_AUTH, _Assertion(self))
        self.register_token_generator("default", self._make_token)

    def query_client(self, client_id: str) -> Client | None:
        """Return a client by its id."""
        if client_id == self.desk.client_id:
            return self.desk
        found = from_thread.run(self.grants.find_client, client_id)
        return Client(client_id, system=found) if found else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Keep nothing: a token is signed, and good for minutes."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """Return the request: it is made before."""
        return request

    def handle_response(
        self,
        status: int,
        body: Any,  # noqa: ANN401
        headers: list[tuple[str, str]],
    ) -> Response:
        """Return an answer for Starlette."""
        content = json.dumps(body) if isinstance(body, dict) else body
        return Response(content, status, dict(headers))

    def header(self, kind: str) -> dict[str, str]:
        """Return the header of what is signed now."""
        kid = self.keys.signing(datetime.now(UTC)).kid
        return {"alg": ALGORITHM, "kid": kid, "typ": kind}

    def sign(self, claims: dict[str, Any], kind: str) -> str:
        """Sign claims with the key of now."""
        key = self.keys.signing(datetime.now(UTC))
        return str(jwt.encode(self.header(kind), claims, key.key, algorithms=[ALGORITHM]))

    def _make_token(
        self, *, client: Client, user: SignedIn | None, scope: str | None, **_: object
    ) -> dict[str, Any]:
        """Make an access token (RFC 9068): a system's for services, a person's for `userinfo`."""
        at = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "client_id": client.client_id,
            "iat": at,
            "exp": at + int(ACCESS.total_seconds()),
            "jti": secrets.token_hex(16),
        }
        if user is not None:
            claims |= {"sub": user.account.id, "aud": f"{self.issuer}/userinfo"}
            claims |= {"account": user.account.claims()}
        elif client.system is not None:
            claims |= {"sub": client.client_id, "aud": SYSTEMS}
            claims |= {"role": client.system["role"], "org": client.system["org"]}
        token = {
            "token_type": "Bearer",
            "access_token": self.sign(claims, "at+jwt"),
            "expires_in": int(ACCESS.total_seconds()),
        }
        return token | ({"scope": scope} if scope else {})
