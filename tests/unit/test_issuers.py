"""Tokens of configured issuers: who signed, for whom, for how long, and what they are here."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from shared import issuers
from shared.errors import SettingsError, Unauthenticated
from shared.issuers import Issuers, keys_of, map_claims
from shared.issuers_file import Claims, IssuerSettings, read_issuers
from shared.vocabulary import Role

ISS = "https://id.example.org/realms/a"
KEY = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = Ed25519PrivateKey.generate()
SETTINGS = IssuerSettings(
    name="a",
    issuer=ISS,
    algorithms=("EdDSA", "RS256"),
    audience="pashe",
    roles={"systems": Role.PROVIDER_SYSTEM, "desk": Role.COORDINATOR},
    claims=Claims(role="realm_access.roles"),
)


def published() -> dict[str, Any]:
    one = OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    two = RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "s"}
    return {"keys": [one | {"kid": "k1"}, two | {"kid": "k2"}, shared, {"kty": "new"}, None]}


class World:
    """The issuer as it is fetched: counted, and it can be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.keys = published()

    async def fetch(self, url: str) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise issuers.IssuerAway("away")
        if url.endswith("openid-configuration"):
            return {"issuer": ISS, "jwks_uri": f"{ISS}/jwks"}
        return self.keys


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(issuers, "fetch_json", made.fetch)
    return made


def signed(key: Any = KEY, kid: str | None = "k1", algorithm: str = "EdDSA", **changes: Any) -> str:
    at = int(time.time())
    claims = {"iss": ISS, "aud": "pashe", "sub": "s1", "iat": at, "exp": at + 300}
    claims |= {"realm_access": {"roles": ["systems"]}, "org": "example-ngo"} | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


async def test_a_token_of_a_configured_issuer_is_a_system_by_the_mapping(world: World) -> None:
    read = Issuers([SETTINGS])
    for token in (signed(), signed(RSA, "k2", "RS256")):
        assert read.speaks(token)
        caller = await read.read(token)
        assert (caller.role, caller.org) == (Role.PROVIDER_SYSTEM, "example-ngo")
        assert caller.subject != "s1"  # a pseudonym that no other issuer's subject can have
    assert world.asked == 2


PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def forged(header: dict[str, Any], key: bytes) -> str:
    """Sign by HMAC with whatever bytes, as a library that refuses it would not."""
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    claims = jwt.decode(signed(), options={"verify_signature": False})
    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    mac = hmac.digest(key, text.encode(), hashlib.sha256) if key else b""
    return f"{text}.{part(mac)}"


@pytest.mark.parametrize(
    "token",
    [
        forged({"alg": "none", "kid": "k1"}, b""),
        forged({"alg": "HS256", "kid": "k1"}, PUBLIC),
        forged({"alg": "HS256", "kid": "s"}, b"s" * 32),
        signed(OTHER),
        signed(iss=f"{ISS}/"),
        signed(aud="another"),
        signed(aud=None),
        signed(exp=int(time.time()) - 60),
        signed(exp=None),
        signed(iat=None),
        signed(exp=int(time.time()) + 86_400),
        signed(kid="unknown"),
        signed(kid=None),
        signed(realm_access={"roles": ["king"]}),
        signed(realm_access="systems"),
        signed(realm_access=None, role="systems"),
        signed(realm_access={"roles": ["desk"]}),  # a person's bearer token could not be ended
        signed(org="*"),
        signed(ec.generate_private_key(ec.SECP256R1()), "k1", "ES256"),
    ],
)
async def test_a_token_that_does_not_hold_is_refused(world: World, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await Issuers([SETTINGS]).read(token)


async def test_unknown_keys_are_asked_for_at_most_so_often_and_known_ones_outlive_the_issuer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Issuers([SETTINGS])
    await read.read(signed())
    asked = world.asked
    for n in range(20):
        with pytest.raises(Unauthenticated):
            await read.read(signed(OTHER, f"new{n}"))
    assert world.asked == asked
    world.away = True
    monkeypatch.setattr(issuers, "REFRESH", 0.0)
    monkeypatch.setattr(issuers, "STALE", -1.0)
    await read.read(signed(jti="another"))
    await asyncio.sleep(0)
    assert (await read.read(signed(jti="a third"))).org == "example-ngo"


async def test_a_new_key_is_learnt_from_the_first_token_that_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Issuers([SETTINGS])
    await read.read(signed())
    monkeypatch.setattr(issuers, "REFRESH", 0.0)
    new = OKPAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)
    world.keys = {"keys": [new | {"kid": "k3"}]}
    assert (await read.read(signed(OTHER, "k3"))).org == "example-ngo"
    with pytest.raises(Unauthenticated):
        await read.read(signed(jti="by the old key"))


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fetch(_: str) -> dict[str, Any]:
        return {"issuer": "https://other.example", "jwks_uri": f"{ISS}/jwks"} | published()

    monkeypatch.setattr(issuers, "fetch_json", fetch)
    with pytest.raises(Unauthenticated):
        await Issuers([SETTINGS]).read(signed())


async def test_an_issuers_documents_come_by_tls_only() -> None:
    with pytest.raises(issuers.IssuerAway):
        await issuers.fetch_json("http://id.example.org/jwks")


def test_secrets_and_what_is_not_understood_are_no_keys() -> None:
    assert set(keys_of(published())) == {"k1", "k2"}
    assert keys_of({}) == {}
    es = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    assert set(keys_of({"keys": [es | {"kid": "e", "use": "enc"}]})) == set()


def test_the_first_role_of_the_file_wins_and_acr_stands_for_factors() -> None:
    settings = IssuerSettings(
        name="a",
        issuer=ISS,
        roles={"lead": Role.SUPERVISOR, "desk": Role.COORDINATOR},
        claims=Claims(role="groups", places="attributes.places"),
        factors={"2": ["pwd", "otp"]},
        own_subjects=True,
    )
    got = map_claims(
        settings,
        {"sub": "x", "groups": ["desk", "lead"], "attributes": {"places": ["BD3026"]}, "acr": "2"},
    )
    assert (got["role"], got["places"], got["amr"], got["sub"]) == (
        "supervisor",
        ["BD3026"],
        ["pwd", "otp"],
        "x",
    )
    with pytest.raises(Unauthenticated):
        map_claims(settings, {"sub": "x", "groups": []})


GOOD = f"""[[issuers]]
name = "a"
issuer = "{ISS}"
[issuers.roles]
desk = "coordinator"
"""


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (GOOD.replace("https", "http"), "https"),
        (GOOD.replace('name = "a"', 'name = "a"\nalgorithms = ["HS256"]'), "algorithms"),
        (GOOD.replace('name = "a"', 'name = "a"\nalgorithms = ["none"]'), "algorithms"),
        (GOOD.replace('"coordinator"', '"king"'), "not right"),
        (GOOD.replace('"coordinator"', '"service"'), "service"),
        (GOOD.replace('name = "a"', 'name = "a"\nclient_id = "x"'), "together"),
        (GOOD + GOOD, "twice"),
        ("[[issuers", "not right"),
    ],
)
def test_a_file_that_is_not_right_is_refused_in_one_line(
    tmp_path: Path, text: str, word: str
) -> None:
    file = tmp_path / "issuers.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=word):
        read_issuers(file)


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sign-in.md").read_text("utf-8")
    file = tmp_path / "issuers.toml"
    file.write_text(text.split("```toml\n")[1].split("```")[0])
    (found,) = read_issuers(file)
    assert found.roles["centre-coordinators"] is Role.COORDINATOR
    assert read_issuers(None) == []
