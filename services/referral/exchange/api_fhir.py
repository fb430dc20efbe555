"""`/referral/fhir/r4`: a provider's system reads its referrals and answers them in FHIR R4.

JSON only. Errors are an `OperationOutcome` that never echoes what was sent.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute

from services.referral.api import actor_of
from services.referral.domain import held
from services.referral.exchange.fhir import PROFILES, order_from, request_of, task_of
from services.referral.exchange.fhir_search import Search, find, find_one, parse_search
from shared.access import PROVIDERS, Caller, require
from shared.access_rules import Verb, scope_of
from shared.bodies import fields_of, parse_json, read_bytes
from shared.clock import now
from shared.database import transaction
from shared.errors import Conflict, Forbidden, InvalidBody, NotFound, Problem, Stale
from shared.paging import encode_cursor, version_of
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from services.referral.referral import Referral
    from services.referral.service import Referrals
    from shared.runtime import Service

MEDIA: Final = "application/fhir+json"
BASE: Final = "/referral/fhir/r4"

_READERS: Final = (
    *(Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS, Role.AUDITOR),
    *(Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM),
)
_OWNERS: Final = (Role.PROVIDER_WORKER, Role.PROVIDER_SYSTEM)

_ISSUES: Final[dict[int, str]] = {
    400: "structure",
    401: "login",
    403: "forbidden",
    404: "not-found",
    409: "business-rule",
    412: "conflict",
    413: "too-long",
    422: "invalid",
}


def _answer(resource: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(resource), status, headers, MEDIA)


def _outcome(error: Problem) -> Response:
    """Render a problem as an OperationOutcome; `errors` name elements, never values."""
    lines = error.members.get("errors")
    named = [line["field"] for line in lines] if isinstance(lines, list) else []
    issue: dict[str, Any] = {
        "severity": "error",
        "code": _ISSUES.get(error.status, "processing"),
        "diagnostics": error.detail or error.title,
    }
    if named:
        issue["expression"] = named
    told = {"resourceType": "OperationOutcome", "issue": [issue]}
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}  # noqa: PLR2004
    return _answer(told, error.status, headers)


class _Route(APIRoute):
    """A route whose refusals are OperationOutcomes; a failure of ours is answered as elsewhere."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the route."""
        handler = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError:
                return _outcome(NotFound())  # an id that none of ours has
            except Problem as error:
                return _outcome(error)

        return told


def make_router(service: Service, referrals: Referrals) -> APIRouter:
    """Make the routes of FHIR."""
    router = APIRouter(prefix=BASE, tags=["fhir"], route_class=_Route)
    base = service.settings.public_url + BASE

    @router.get("/metadata", response_model=None)
    async def metadata() -> Response:
        """Say what this server understands (CapabilityStatement); open to everybody."""
        return _answer(capabilities(base))

    for kind in _RENDER:
        _add_reading(router, service, base, kind)

    @router.put("/Task/{referral_id}", response_model=None)
    async def update(
        request: Request, referral_id: UUID, caller: Annotated[Caller, Depends(require(*_OWNERS))]
    ) -> Response:
        """Answer a referral: a new `status`, the first contact, an acknowledged withdrawal.

        `If-Match` names the version that was read; 412 when it is another by now. `rejected`,
        `failed` and `cancelled` need a `statusReason`.
        """
        task = read_task(parse_json(await read_bytes(request)))
        version = version_of(request)
        async with service.flow.begin() as conn:
            await referrals.must(conn, referral_id, caller, Verb.ANSWER, now())
            found, changed_at = await find_one(conn, referral_id)
            if version is not None and version != found.version:
                raise Stale(None, **held(found, actor_of(caller)))
            order = order_from(task, found, changed_at, version)
            if order is not None:
                before = found.version
                await referrals.act(conn, referral_id, order, actor_of(caller), now())
                found, changed_at = await find_one(conn, referral_id)
                if found.version == before:  # done long ago, and the state has gone on since
                    raise Conflict(None, **held(found, actor_of(caller)))
        service.waker.wake()
        return _one(task_of(found, changed_at), found)

    return router


def _one(resource: dict[str, Any], referral: Referral) -> Response:
    changed = resource["meta"]["lastUpdated"]
    when = datetime.fromisoformat(changed).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return _answer(resource, 200, {"ETag": f'W/"{referral.version}"', "Last-Modified": when})


_RENDER: Final = {"Task": task_of, "ServiceRequest": request_of}


def _add_reading(router: APIRouter, service: Service, base: str, kind: str) -> None:
    async def read(
        referral_id: UUID, caller: Annotated[Caller, Depends(require(*_READERS))]
    ) -> Response:
        async with transaction(service.web, scope_of(caller, Verb.REFERRAL, now())) as conn:
            found, changed_at = await find_one(conn, referral_id)
        return _one(_RENDER[kind](found, changed_at), found)

    async def search(
        request: Request, caller: Annotated[Caller, Depends(require(*_READERS))]
    ) -> Response:
        strict = "handling=strict" in request.headers.get("prefer", "")
        asked = parse_search(request.query_params.multi_items(), strict=strict)
        if caller.role in PROVIDERS:
            if asked.owner not in (None, caller.org):
                raise Forbidden
            asked.owner = caller.org
        async with transaction(service.web, scope_of(caller, Verb.REFERRAL, now())) as conn:
            found = await find(conn, asked)
        return _answer(bundle_of(kind, base, asked, found))

    read.__doc__ = f"Read the {kind} of a referral; `ETag` is its version."
    search.__doc__ = (
        f"Search {kind}s by owner, status, `_lastUpdated`, `_id`; what changed last comes last."
    )
    for path, endpoint in ((f"/{kind}/{{referral_id}}", read), (f"/{kind}", search)):
        name = f"{endpoint.__name__}_{kind.lower()}"
        router.add_api_route(path, endpoint, name=name, operation_id=name, response_model=None)


def bundle_of(
    kind: str, base: str, asked: Search, found: list[tuple[Referral, datetime]]
) -> dict[str, Any]:
    """Return a page of a search, with what is asked for beside it and where the next page is.

    `found` may hold one more than was asked for: then there is a next page.
    """
    url, more = f"{base}/{kind}", len(found) > asked.count
    found = found[: asked.count]
    query = urlencode(asked.used)
    links = [{"relation": "self", "url": f"{url}?{query}" if query else url}]
    if more:
        last, changed_at = found[-1]
        cursor = encode_cursor([changed_at.isoformat(), str(last.referral_id)])
        following = urlencode([*asked.used, ("_cursor", cursor)])
        links.append({"relation": "next", "url": f"{url}?{following}"})
    shown = [(_RENDER[kind](r, at), "match") for r, at in found]
    if asked.focus and kind == "Task":
        shown += [(request_of(r, at), "include") for r, at in found]
    entries = [
        {
            "fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}",
            "resource": resource,
            "search": {"mode": mode},
        }
        for resource, mode in shown
    ]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    return bundle | ({"entry": entries} if entries else {})


def read_task(value: object) -> dict[str, Any]:
    """Return a checked Task in plain values.

    Raises:
        InvalidBody: it is no Task of FHIR R4; `errors` name its elements.

    """
    from fhir.resources.R4B.task import Task  # noqa: PLC0415  (29 MB, for who speaks FHIR)
    from pydantic import ValidationError  # noqa: PLC0415

    if not isinstance(value, dict) or value.get("resourceType") != "Task":
        raise InvalidBody(None, errors=[{"field": "resourceType", "rule": "Task"}])
    try:
        Task.model_validate(value)
    except ValidationError as error:
        wrong = fields_of(error.errors(include_input=False, include_context=False))
        raise InvalidBody(None, errors=wrong) from None
    return value


def capabilities(base: str) -> dict[str, Any]:
    """Return the CapabilityStatement of the server at a base URL."""

    def resource(kind: str, profile: str, verbs: tuple[str, ...], owner: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": kind,
            "supportedProfile": [f"{PROFILES}/{profile}"],
            "interaction": [{"code": verb} for verb in verbs],
            "versioning": "versioned-update",
            "searchParam": [
                {"name": owner, "type": "reference"},
                {"name": "status", "type": "token"},
                {"name": "_lastUpdated", "type": "date"},
                {"name": "_id", "type": "token"},
            ],
        }
        return found | ({"searchInclude": ["Task:focus"]} if kind == "Task" else {})

    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-28",
        "kind": "instance",
        "implementation": {"description": "Referrals of a Pashe centre", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "Bearer token of a provider's worker or system"},
                "resource": [
                    resource(
                        "Task",
                        "SDOHCC-TaskForReferralManagement",
                        ("read", "search-type", "update"),
                        "owner",
                    ),
                    resource(
                        "ServiceRequest",
                        "SDOHCC-ServiceRequest",
                        ("read", "search-type"),
                        "performer",
                    ),
                ],
            }
        ],
    }
