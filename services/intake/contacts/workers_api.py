"""`/intake/v1/contacts/providers/…`: how a provider's workers are asked, and answer by SMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, Field, model_validator

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
_EMAIL: Final = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"


def _key(said: str) -> str:
    if provider_key(said) == NOT_A_KEY:
        message = "this is no provider's key"
        raise ValueError(message)
    return said


_ProviderId = Annotated[str, AfterValidator(_key)]


class NumbersIn(Model):
    """The numbers and addresses of a provider's workers, in place of those before.

    They are never shown again. Who stands first is told first of what is asked: by SMS, or by mail
    when there is no number.
    """

    numbers: list[Annotated[str, Field(max_length=40), AfterValidator(parse_phone)]] = Field(
        [], max_length=20
    )
    emails: list[Annotated[str, Field(max_length=254, pattern=_EMAIL)]] = Field([], max_length=20)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.numbers and not self.emails:
            message = "there is neither a number nor an address"
            raise ValueError(message)
        return self


def make_router(service: Service, secrets: Secrets, numbers: Numbers) -> APIRouter:
    """Make the routes of the numbers of providers' workers."""
    router = APIRouter(prefix="/intake/v1", tags=["contacts"])
    path = "/contacts/providers/{provider_id}"

    def sealed(way: str, where: str) -> WorkerNumber:
        key = uuid4()
        index = number_index(secrets.index, where)
        return WorkerNumber(key, index, numbers.seal(key, where), where[-_ENDING:], way)

    @router.put(path, response_model=None, openapi_extra=body_of(NumbersIn))
    async def put(request: Request, provider_id: _ProviderId, caller: _Keeper) -> Response:
        """Say how a provider's workers are asked and from where they answer; it is sealed."""
        body = await read_body(request, NumbersIn)
        kept = [sealed("sms", number) for number in dict.fromkeys(body.numbers)]
        kept += [sealed("email", address) for address in dict.fromkeys(body.emails)]
        async with service.flow.begin() as conn:
            await workers_store.keep_numbers(conn, provider_id, kept, caller.actor)
            endings = await workers_store.endings_of(conn, provider_id)
        return JSONResponse(_shown(provider_id, endings))

    @router.get(path, response_model=None)
    async def get(provider_id: _ProviderId, _: _Keeper) -> Response:
        """Read how many numbers and addresses a provider has here, and the end of each."""
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


def _shown(provider_id: str, endings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    def of(way: str) -> list[dict[str, str]]:
        return [{"ending": ending} for known, ending in endings if known == way]

    return {"provider_id": provider_id, "numbers": of("sms"), "emails": of("email")}
