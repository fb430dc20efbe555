"""`/intake/v1/contacts/providers/…`: the numbers from which a provider answers by SMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, Field

from services.intake.contacts import workers_store
from services.intake.contacts.workers_store import WorkerNumber
from services.intake.naming import NOT_A_KEY, provider_key
from services.intake.preparing import number_index
from shared.access import Caller, require
from shared.bodies import Model, read_body
from shared.errors import NotFound
from shared.openapi import body_of
from shared.text import parse_phone
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.intake.casework.numbers import Numbers
    from services.intake.preparing import Secrets
    from shared.runtime import Service

_KEEPERS: Final = (Role.COORDINATOR, Role.SUPERVISOR, Role.OPERATIONS)
_Keeper = Annotated[Caller, Depends(require(*_KEEPERS))]
_ENDING: Final = 2


def _key(said: str) -> str:
    if provider_key(said) == NOT_A_KEY:
        message = "this is no provider's key"
        raise ValueError(message)
    return said


_ProviderId = Annotated[str, AfterValidator(_key)]


class NumbersIn(Model):
    """The numbers of a provider's workers, in place of those before; they are never shown again."""

    numbers: list[Annotated[str, Field(max_length=40), AfterValidator(parse_phone)]] = Field(
        min_length=1, max_length=20
    )


def make_router(service: Service, secrets: Secrets, numbers: Numbers) -> APIRouter:
    """Make the routes of the numbers of providers' workers."""
    router = APIRouter(prefix="/intake/v1", tags=["contacts"])
    path = "/contacts/providers/{provider_id}"

    def sealed(number: str) -> WorkerNumber:
        key = uuid4()
        index = number_index(secrets.index, number)
        return WorkerNumber(key, index, numbers.seal(key, number), number[-_ENDING:])

    @router.put(path, response_model=None, openapi_extra=body_of(NumbersIn))
    async def put(request: Request, provider_id: _ProviderId, caller: _Keeper) -> Response:
        """Say from which numbers a provider's workers answer; a number is sealed."""
        body = await read_body(request, NumbersIn)
        kept = [sealed(number) for number in dict.fromkeys(body.numbers)]
        async with service.flow.begin() as conn:
            await workers_store.keep_numbers(conn, provider_id, kept, caller.actor)
            endings = await workers_store.endings_of(conn, provider_id)
        return JSONResponse(_shown(provider_id, endings))

    @router.get(path, response_model=None)
    async def get(provider_id: _ProviderId, _: _Keeper) -> Response:
        """Read how many numbers a provider has here, and the last two digits of each."""
        async with service.flow.connect() as conn:
            endings = await workers_store.endings_of(conn, provider_id)
        if not endings:
            raise NotFound
        return JSONResponse(_shown(provider_id, endings))

    @router.delete(path, response_model=None, status_code=204)
    async def delete(provider_id: _ProviderId, _: _Keeper) -> Response:
        """Forget the numbers of a provider: texts of theirs are ordinary ones from now on."""
        async with service.flow.begin() as conn:
            if not await workers_store.drop_numbers(conn, provider_id):
                raise NotFound
        return Response(status_code=204)

    return router


def _shown(provider_id: str, endings: Sequence[str]) -> dict[str, Any]:
    return {"provider_id": provider_id, "numbers": [{"ending": ending} for ending in endings]}
