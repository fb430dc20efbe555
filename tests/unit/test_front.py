"""The origin's own pages: links to every document, and nothing that a browser may run or fetch."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from deploy.local.keys import SERVICES
from deploy.local.proxy import Proxy


async def get(path: str, method: str = "GET") -> httpx.Response:
    proxy = Proxy(dict.fromkeys((*SERVICES, "accounts"), "http://127.0.0.1:1"))
    transport = httpx.ASGITransport(proxy)
    async with httpx.AsyncClient(transport=transport, base_url="http://origin") as http:
        return await http.request(method, path)


async def test_docs_lead_to_every_document_and_client() -> None:
    page = await get("/docs")
    links = set(re.findall(r'href="([^"]+)"', page.text))
    documents = {f"/{service}/v1/openapi.json" for service in SERVICES}
    clients = {f"/docs/clients/{name}_client.py" for name in ("kafka", "polling", "sse", "webhook")}
    assert links == documents | clients | {"/notification/v1/asyncapi.json", "/"}
    for client in clients:
        shown = await get(client)
        assert (shown.status_code, shown.headers["content-type"]) == (
            200,
            "text/plain; charset=utf-8",
        )
        assert shown.text.startswith('"""')


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/clients/sse_client.py"])
async def test_a_page_may_load_and_run_nothing_but_its_own_style(path: str) -> None:
    page = await get(path)
    allowed = page.headers["content-security-policy"]
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r'(?:src|href)="(?:https?:)?//|<script', page.text)
    for style in re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed


@pytest.mark.parametrize(
    "path",
    ["/docs/clients", "/docs/clients/none.py", "/docs/clients/..%2f..%2fREADME.md", "/docs/x"],
)
async def test_there_is_nothing_else_under_docs(path: str) -> None:
    assert (await get(path)).status_code == 404


async def test_only_reading_is_served() -> None:
    assert (await get("/docs", "POST")).status_code == 405
