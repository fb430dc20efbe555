"""`pashe erase`: asks for the erasure of a case, or approves what somebody else asked for.

It speaks to intake as whoever's token it is given, so that the two persons are two: each runs it
with a token of their own, in `PASHE_TOKEN` or in a file.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4  # (typer reads annotations)

import httpx
import typer
from rich.console import Console

from deploy.local import control
from deploy.local.errors import StackError
from deploy.local.home import find_home

if TYPE_CHECKING:
    from collections.abc import Mapping

WAITS: Final = 4
"""Exit code when it waits for another person."""

HELD: Final = 5
"""Exit code when a legal hold stands against it."""

console = Console(highlight=False)


class Whom(StrEnum):
    """Whose data goes."""

    case = "case"
    """The person's, with everything of the case."""

    reporter = "reporter"
    """Whoever reported, with the words of the report; the case goes on."""

    alleged = "alleged"
    """Whoever is said to do the harm; the case goes on."""


class Asks(StrEnum):
    """Who asks for it."""

    person = "person"
    caregiver = "caregiver"
    court = "court"
    retention = "retention"


class Check(StrEnum):
    """How it was made sure who asks."""

    document = "document"
    known_to_worker = "known_to_worker"
    call_back = "call_back"
    agreed_word = "agreed_word"
    order = "order"


def erase(
    case: Annotated[UUID, typer.Argument(help="The id of the case")],
    subject: Annotated[Whom, typer.Option(help="Whose data goes")] = Whom.case,
    asked_by: Annotated[Asks | None, typer.Option(help="Who asks for it")] = None,
    checked: Annotated[Check | None, typer.Option(help="How it was made sure who that is")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with your own token (else PASHE_TOKEN)")
    ] = None,
    *,
    shared: Annotated[
        bool, typer.Option("--shared", help="Also reporter, words and alleged of the report")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go, or how it stands")
    ] = False,
) -> None:
    """Erase who a person is, for ever: one person asks, a supervisor who is another approves.

    Exit code 0: erased, or shown; 4: it waits for another person; 5: a legal hold stands against
    it; 1: refused.
    """
    whom = {"subject": subject.value}
    path = f"/intake/v1/cases/{case}/erase"
    with httpx.Client(
        base_url=control.find_origin(find_home()), headers=_bearer(token_file), timeout=30
    ) as http:
        shown = _answer(http.get(path, params={**whom, "shared": str(shared).lower()}))
        if dry_run or shown["status"] == "erased":
            _show(shown)
            return
        if asked_by is None or checked is None:
            message = "say who asks (--asked-by) and how you made sure (--checked)"
            raise StackError(message)
        body = {
            **whom,
            "asked_by": asked_by.value,
            "identity_check": checked.value,
            "shared": shared,
        }
        done = http.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
        found = _answer(done)
        if found["status"] == "waits_for_approval":
            console.print(
                "Asked for. Nothing is erased yet: a supervisor, who is another person, approves "
                "with the same command and a token of their own."
            )
            raise typer.Exit(WAITS)
        _show(_answer(http.get(path, params=whom)))


def _bearer(token_file: Path | None) -> dict[str, str]:
    try:
        kept = token_file.read_text() if token_file else os.environ.get("PASHE_TOKEN", "")
    except (OSError, UnicodeError):
        kept = ""
    if not kept.strip():
        message = "who are you? Put your own token into PASHE_TOKEN, or name --token-file"
        raise StackError(message)
    return {"Authorization": f"Bearer {kept.strip()}"}


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return a good answer.

    Raises:
        StackError: it was refused; the message says why. Exit: under a legal hold.

    """
    found: dict[str, Any] = response.json()
    if response.is_success:
        return found
    if found.get("why") == "legal_hold":
        console.print("Refused: a legal hold stands against it. Nothing was erased.")
        raise typer.Exit(HELD)
    words = {
        401: "your token does not count (any more)",
        403: "you may not: a coordinator or supervisor asks, and a supervisor approves who did "
        "not ask",
        404: "there is no such case for you",
    }
    why = words.get(response.status_code) or found.get("detail") or found.get("title")
    if "step-up" in str(found.get("type")):
        why = "sign in again with your second factor: the last time is too long ago"
    message = f"nothing was erased: {why}"
    raise StackError(message)


def _show(found: Mapping[str, Any]) -> None:
    if found["status"] != "erased":
        goes = found["would_erase"]
        console.print(
            f"Would go: {goes['keys']} keys ({', '.join(goes['kinds'])}) with "
            f"{goes['sealed_fields']} sealed fields, {goes['attachments']} attachments, "
            f"{goes['consents']} consents."
        )
        if found["legal_hold"]:
            console.print("A legal hold stands against it.")
        waits = found["status"] == "waits_for_approval"
        console.print("Asked for; waits for a supervisor." if waits else "Nobody asked for it yet.")
        return
    console.print(f"Erased at {found['erased_at']}.")
    if not found["listed"]:
        console.print("It is not in the list of erasures yet: look again in a minute.")
    if found["complete"]:
        console.print("Complete: the keys that opened older copies are destroyed.")
    else:
        console.print(
            f"Complete by {found['complete_by']}, when this month's key is destroyed "
            "(`pashe rotate-keys` begins it now)."
        )
