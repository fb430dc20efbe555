"""ODK Collect as a client plays it: what it asks, in its order, and what it makes of each answer.

After what the app is known to do (OpenRosa's form discovery and submission; docs/channels.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTED: Final = "{http://openrosa.org/xforms/xformsList}"
ANSWERED: Final = "{http://openrosa.org/http/response}"
DEVICE: Final = "collect%3Ainvented"
SENT: Final = (201, 202)
"""The only statuses by which the app takes a form for sent."""


@dataclass(slots=True)
class Collect:
    """The app on one phone, set up by the text of a QR code."""

    settings: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))
    url: str = field(init=False)

    def __post_init__(self) -> None:
        told = json.loads(zlib.decompress(base64.b64decode(self.settings)))["general"]
        self.url = told["server_url"]
        self.client.auth = httpx.DigestAuth(told["username"], told["password"])

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Ask as the app does: with its headers, and the phone's own mark in the query."""
        headers = {
            "X-OpenRosa-Version": "1.0",
            "Date": datetime.now(UTC).strftime(
                "%a, %d %b %Y %I:%M:%S GMT"
            ),  # as it is: no am or pm
            "User-Agent": "org.odk.collect.android/invented",
        }
        return self.client.request(method, f"{url}?deviceID={DEVICE}", headers=headers, **more)

    def forms(self) -> list[dict[str, str]]:
        """Return the list of forms, as far as the app would take it."""
        answer = self.ask("GET", f"{self.url}/formList")
        assert answer.status_code == 200, answer.text
        assert "text/xml" in answer.headers["content-type"]
        assert "x-openrosa-version" in answer.headers
        root = ET.fromstring(answer.content)  # noqa: S314
        assert root.tag == f"{LISTED}xforms"
        forms = [{one.tag.removeprefix(LISTED): one.text or "" for one in form} for form in root]
        assert all(form["formID"] and form["name"] and form["downloadUrl"] for form in forms)
        return forms

    def download(self, form: Mapping[str, str]) -> bytes:
        """Download a form, and check it against its hash."""
        assert urlsplit(form["downloadUrl"]).hostname == urlsplit(self.url).hostname
        answer = self.ask("GET", form["downloadUrl"])
        assert answer.status_code == 200, answer.text
        made = hashlib.md5(answer.content, usedforsecurity=False).hexdigest()
        assert form["hash"] == f"md5:{made}"
        return answer.content

    def send(self, xml: bytes, files: Mapping[str, bytes]) -> list[httpx.Response]:
        """Ask where to and how much, and post a form in as many parts as that needs."""
        asked = self.ask("HEAD", f"{self.url}/submission")
        assert asked.status_code == 204, asked.status_code
        where = unquote(asked.headers.get("location", f"{self.url}/submission"))
        assert urlsplit(where).hostname == urlsplit(self.url).hostname
        most = int(asked.headers["x-openrosa-accept-content-length"])
        answers = []
        for names, more in split(xml, files, most):
            answers.append(self.post(where, xml, {n: files[n] for n in names}, more=more))
            if answers[-1].status_code not in SENT:
                break
        return answers

    def post(
        self, where: str, xml: bytes, files: Mapping[str, bytes], *, more: bool = False
    ) -> httpx.Response:
        """Post a form with some of its files; `more` says that others follow."""
        parts: list[tuple[str, Any]] = [("xml_submission_file", ("form.xml", xml, "text/xml"))]
        parts += [(name, (name, raw, "application/octet-stream")) for name, raw in files.items()]
        if more:
            parts.append(("*isIncomplete*", (None, "yes")))
        return self.ask("POST", where, files=parts)


def split(xml: bytes, files: Mapping[str, bytes], most: int) -> list[tuple[list[str], bool]]:
    """Share files among posts: never beyond what the server takes, but for a post of one file."""
    posts: list[list[str]] = [[]]
    size = len(xml)
    for name, raw in files.items():
        if posts[-1] and size + len(raw) > most:
            posts.append([])
            size = len(xml)
        posts[-1].append(name)
        size += len(raw)
    return [(names, n < len(posts)) for n, names in enumerate(posts, 1)]


def message_of(answer: httpx.Response) -> str:
    """Return the message of an answer, which the app shows."""
    root = ET.fromstring(answer.content)  # noqa: S314
    assert root.tag == f"{ANSWERED}OpenRosaResponse"
    return root.findtext(f"{ANSWERED}message") or ""
