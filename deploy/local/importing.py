"""`pashe import`: a file of another system, sent to intake in a supervisor's name."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path  # noqa: TC003  (typer reads the annotation)
from typing import Annotated

import httpx
import typer

from deploy.local.errors import StackError
from deploy.local.home import find_home, find_state, load_token_seed


class Format(StrEnum):
    """Which format a file has."""

    htcds = "htcds"
    """Rows of the Human Trafficking Case Data Standard 2.0: a table with a first line of names, or
    objects in a file that ends with .json."""

    primero = "primero"
    """Primero v2 cases: a JSON document, or one case a line in a file that ends with .ndjson."""

    fhir = "fhir"
    """FHIR R4 bundles about one person each: one, or a list."""


def import_file(
    format: Annotated[Format, typer.Argument(help="Which format")],  # noqa: A002
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read it and store nothing")] = False,
    encoding: Annotated[str | None, typer.Option(help="If it is neither UTF-8 nor marked")] = None,
    partner: Annotated[str | None, typer.Option(help="In whose name: a partner's key")] = None,
) -> None:
    """Take each row of a file as a report; print what was not understood, line by line, as JSON.

    Ends with 1 when a row was refused. The same file again stores nothing.
    """
    from shared.access import make_token  # noqa: PLC0415  (slow, needed here only)
    from shared.vocabulary import Role  # noqa: PLC0415

    home = find_home()
    state = find_state(home)
    if state is None:
        raise StackError("the stack is not up: start it with `pashe up`")
    role = Role.PARTNER if partner else Role.SUPERVISOR
    token = make_token(load_token_seed(home), role, subject="import", org=partner)
    lines = file.suffix == ".ndjson"
    table = format is Format.htcds and file.suffix != ".json"
    kind = "text/csv" if table else "application/json"
    asked = {"dry_run": str(dry_run).lower(), **({"encoding": encoding} if encoding else {})}
    try:
        with file.open("rb") as body:
            answer = httpx.post(
                f"http://127.0.0.1:{state.ports['intake']}/intake/v1/imports/{format.value}",
                params=asked,
                content=iter(lambda: body.read(65_536), b""),
                headers={
                    "authorization": f"Bearer {token}",
                    "content-type": "application/x-ndjson" if lines else kind,
                },
                timeout=httpx.Timeout(10, read=3600, write=3600),
            )
    except httpx.HTTPError as error:
        message = f"intake did not answer: {type(error).__name__}; send the file again"
        raise StackError(message) from error
    told = answer.json()
    typer.echo(json.dumps(told, indent=2))
    if not answer.is_success or told["refused"]:
        raise typer.Exit(1)
