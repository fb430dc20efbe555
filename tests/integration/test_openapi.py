"""Requests made from every service's `openapi.json`: no answer is a 5xx, all are documented.

Every route is asked as who may ask it, with values that fit its schema and values that do not. The
short form asks each route a few times; the long one many times more.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.core.control import SkipTest

from shared.access import PROVIDERS, service_token
from shared.vocabulary import Role
from tests.support.matrix import read_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

SERVICES = ("intake", "referral", "notification", "audit")

SHORT, LONG = 3, 40
"""Requests of a route and kind (fitting, not fitting)."""


@pytest.fixture(scope="module")
def http(whole_stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=whole_stack.origin, timeout=20, follow_redirects=False) as client:
        yield client


def bearer(stack: Stack, endpoint: str) -> dict[str, str]:
    """Return the token of somebody who may ask this; of the most powerful if there are several."""
    row = read_endpoints()[endpoint]
    may = [role for role in Role if row.get(role)]
    if not may:
        return {}
    role = Role.SUPERVISOR if Role.SUPERVISOR in may else may[0]
    if role is Role.SERVICE:
        key = (stack.home / "keys" / "notification" / "signing.key").read_text().strip()
        return {"authorization": f"Bearer {service_token(bytes.fromhex(key), 'notification')}"}
    org = "example-shelter-keraniganj" if role in PROVIDERS else None
    return stack.bearer(role, org="example-partner" if role is Role.PARTNER else org)


def known(stack: Stack, http: httpx.Client) -> dict[str, str]:
    """Report somebody and return ids that are there: a case that is open, its report, a call."""
    desk = stack.bearer(Role.COORDINATOR)
    report = {"channel": "web", "about": "people", "concerns": ["child_labour"], "test": True}
    made = http.post("/intake/v1/reports", json=report, headers=desk).raise_for_status().json()
    case_id = made["case_ids"][0]
    path = f"/intake/v1/cases/{case_id}/triage"
    case = http.post(path, json={}, headers=desk).raise_for_status().json()
    call = http.post("/intake/v1/helpline/calls", json={"open": True}, headers=desk)
    return {
        "case_id": case_id,
        "submission_id": case["submission_id"],
        "call_id": call.raise_for_status().json()["call_id"],
    }


def load(http: httpx.Client, mode: GenerationMode, service: str) -> Any:
    """Return a service's published document as Schemathesis reads it."""
    project = ProjectConfig(generation=GenerationConfig(modes=[mode]))
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    document = http.get(f"/{service}/v1/openapi.json").json()
    return schemathesis.openapi.from_dict(document, config=config)


OTHERWISE: Final = re.compile("/sign-|^/referral/(a|fhir)/|^/audit/witness/")
"""Where an error is a page, FHIR's OperationOutcome, or a witness's plain text."""


def ask(http: httpx.Client, case: Any, headers: dict[str, str]) -> str | None:
    """Send one request; say what is wrong with its answer: a 5xx, or not what the document says."""
    told = case.as_transport_kwargs(base_url=str(http.base_url))
    asked = {k: told[k] for k in ("method", "url", "params", "json", "data") if k in told}
    if isinstance(asked.get("data"), bytes | str):
        asked["content"] = asked.pop("data")
    sent = {k: v for k, v in (told.get("headers") or {}).items() if v.isascii()}
    try:
        with http.stream(headers={**sent, **headers}, **asked) as answer:  # one may never end
            status, kind = answer.status_code, answer.headers.get("content-type", "")
    except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
        return None  # no client can send it
    except httpx.ReadTimeout:
        return f"no answer {told['method']} {told['url']}"[:600]
    documented = case.operation.definition.raw["responses"]
    wrong = status >= 500
    if status < 400:
        wrong = str(status) not in documented
    elif not OTHERWISE.search(case.path):
        wrong = wrong or kind.partition(";")[0] not in documented["default"]["content"]
    shown = {k: v for k, v in asked.items() if v}
    return f"{status} {shown}"[:600] if wrong else None


def ask_all(
    stack: Stack, http: httpx.Client, mode: GenerationMode, times: int, service: str
) -> list[str]:
    """Ask every route so many times; return what was answered wrongly, and how it was asked."""
    wrong: list[str] = []
    for found in load(http, mode, service).get_all_operations():
        operation = found.ok()
        headers = bearer(stack, f"{operation.method.upper()} {operation.path}")
        named = mode.is_positive and service == "intake" and "{" in operation.path
        there = known(stack, http) if named else {}
        asked = given(case=operation.as_strategy(generation_mode=mode))
        bounded = settings(
            max_examples=times,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        def one(case: Any) -> None:
            named = case.path_parameters or {}
            named.update({k: v for k, v in there.items() if k in named})  # noqa: B023
            if (said := ask(http, case, headers)) is not None:  # noqa: B023  (called at once)
                wrong.append(said)

        with contextlib.suppress(Unsatisfiable, SkipTest):  # nothing that would not fit this route
            bounded(asked(one))()
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_answered_with_an_error_of_ours(
    whole_stack: Stack, http: httpx.Client, mode: GenerationMode, service: str
) -> None:
    assert ask_all(whole_stack, http, mode, SHORT, service) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nor_is_any_of_many_more(
    whole_stack: Stack, http: httpx.Client, mode: GenerationMode, service: str
) -> None:
    assert ask_all(whole_stack, http, mode, LONG, service) == []
