"""Clients and requests in the form in which Authlib's server asks about them."""

from __future__ import annotations

import hmac
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion

if TYPE_CHECKING:
    from collections.abc import Mapping

JWT_AUTH: Final = JWTBearerClientAssertion.CLIENT_AUTH_METHOD
"""How a system proves who it is: `private_key_jwt`."""


@dataclass(slots=True)
class Client(ClientMixin):  # type: ignore[misc]
    """A client as Authlib asks about it: the desk (with a secret) or a system (with a key)."""

    client_id: str
    secret: str = ""
    redirect_uri: str = ""
    system: Mapping[str, Any] | None = None

    def get_client_id(self) -> str:
        """Return its id."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Say that an address to return to is always told."""
        return

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope it gets: to sign people in, or none."""
        return "openid" if self.system is None and "openid" in (scope or "").split() else ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Say whether it is the one address."""
        return bool(self.redirect_uri) and redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        """Say whether it is the secret."""
        given = client_secret.encode()
        return bool(self.secret) and hmac.compare_digest(self.secret.encode(), given)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Say whether it may prove who it is in this way, at the token endpoint."""
        wanted = "client_secret_basic" if self.system is None else JWT_AUTH
        return endpoint == "token" and method == wanted

    def check_response_type(self, response_type: str) -> bool:
        """Say whether it may ask for this: only people's client, only a code."""
        return self.system is None and response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether it may have this grant."""
        return grant_type == ("authorization_code" if self.system is None else "client_credentials")


class Payload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of a request, the query's and the form's."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        """Take names and values as they came."""
        self._pairs = pairs

    @cached_property
    def data(self) -> dict[str, str]:
        """The parameters by name; of several the last."""
        return dict(self._pairs)

    @cached_property
    def datalist(self) -> defaultdict[str, list[str]]:
        """All values of each parameter."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in self._pairs:
            found[name].append(value)
        return found


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib reads it."""

    def __init__(
        self, method: str, uri: str, pairs: list[tuple[str, str]], headers: Mapping[str, str]
    ) -> None:
        """Take the parameters of the query (GET) or of the form (POST)."""
        super().__init__(method, uri, headers=headers)
        self.payload = Payload(pairs)

    @property
    def args(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(self.payload.data)

    @property
    def form(self) -> dict[str, str]:
        """The form's parameters."""
        return dict(self.payload.data)
