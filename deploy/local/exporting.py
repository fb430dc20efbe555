"""`pashe export`: published figures, and a dataset of a year that two persons agreed to give."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID  # noqa: TC003  (typer reads the annotation)

import httpx
import typer
from rich.console import Console

from deploy.local import control
from deploy.local.errors import StackError
from deploy.local.home import find_home

app = typer.Typer(no_args_is_help=True, help="Published figures, and datasets for research.")
console = Console(highlight=False)

WAITS: Final = 4
"""Exit code when another person must approve."""

_FORMS: Final = {".xlsx": "xlsx", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_OF_ONE_TABLE: Final = ("csv", "parquet")


class Purpose(StrEnum):
    """What a dataset is for."""

    yearly_report = "yearly_report"
    research = "research"
    exchange = "exchange"


TokenFile = Annotated[
    Path | None, typer.Option(help="A file with your own token (else PASHE_TOKEN)")
]


@app.command("statistics")
def export_statistics(
    quarter: Annotated[
        str, typer.Argument(help="As 2026-Q3, or a year; `list` prints what there is")
    ],
    file: Annotated[
        Path | None, typer.Argument(help="Where to: .xlsx, .json; .csv, .parquet (with --table)")
    ] = None,
    *,
    table: Annotated[str | None, typer.Option(help="One table alone, as district")] = None,
) -> None:
    """Write the published tables of a quarter. Anybody may: nobody can be found in them."""
    with httpx.Client(base_url=control.find_origin(find_home()), timeout=60) as http:
        if quarter == "list" or file is None:
            for each in _good(http.get("/audit/v1/figures")).json()["items"]:
                typer.echo(each["quarter"])
            return
        form = _FORMS.get(file.suffix)
        if form is None or (form in _OF_ONE_TABLE and table is None):
            message = "name a file that ends with .xlsx or .json, or .csv or .parquet with --table"
            raise StackError(message)
        asked = {"form": form, **({"table": table} if table else {})}
        answer = http.get(f"/audit/v1/figures/{quarter}", params=asked)
        if table and str(_told(answer).get("type")).endswith(":invalid-body"):
            raise StackError("nothing was written: there is no such table, as `district` is one")
        _keep(file, _good(answer).content)
    typer.echo(f"Written: {file}")


@app.command("ask")
def ask(
    year: Annotated[int, typer.Argument(min=2020, max=2100)],
    purpose: Annotated[Purpose, typer.Option(help="What it is for")],
    token_file: TokenFile = None,
) -> None:
    """Ask for the dataset of a year that is over. Exit code 4: it waits for another person."""
    body = {"year": year, "purpose": purpose.value}
    with _signed_in(token_file) as http:
        found = _good(http.post("/audit/v1/datasets", json=body)).json()
    console.print(
        "Asked for. Nothing is given out yet: a supervisor, who is another person, approves it with"
    )
    console.print(f"pashe export approve {found['id']}", soft_wrap=True)
    raise typer.Exit(WAITS)


@app.command("approve")
def approve(proposal: UUID, token_file: TokenFile = None) -> None:
    """Agree to a dataset that somebody else asked for."""
    with _signed_in(token_file) as http:
        _good(http.post(f"/audit/v1/datasets/{proposal}/approve"))
    console.print(f"Approved: pashe export htcds {proposal} FILE", soft_wrap=True)


def _write(proposal: UUID, file: Path, shape: str, token_file: Path | None) -> None:
    with _signed_in(token_file) as http:
        path = f"/audit/v1/datasets/{proposal}"
        form = "parquet" if file.suffix == ".parquet" else "csv"
        found = _good(http.get(path, params={"shape": shape, "form": form}))
        report: dict[str, Any] = _good(http.get(path, params={"shape": "report"})).json()
    _keep(file, found.content)
    console.print(
        f"Written: {file}. {report['persons']} persons, each like at least {report['k'] - 1} "
        f"others; of {report['share_with_hidden_values']:.0%} something is hidden, of "
        f"{report['share_wholly_hidden']:.0%} everything.",
        soft_wrap=True,
    )


@app.command("htcds")
def export_htcds(proposal: UUID, file: Path, token_file: TokenFile = None) -> None:
    """Write an approved dataset with fields of HTCDS 2.0 (.csv, .parquet); say how safe it is."""
    _write(proposal, file, "htcds", token_file)


@app.command("ctdc")
def export_ctdc(proposal: UUID, file: Path, token_file: TokenFile = None) -> None:
    """Write an approved dataset with the columns of CTDC's global dataset (.csv, .parquet)."""
    _write(proposal, file, "ctdc", token_file)


def _keep(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        raise StackError(message) from None


def _signed_in(token_file: Path | None) -> httpx.Client:
    try:
        kept = token_file.read_text() if token_file else os.environ.get("PASHE_TOKEN", "")
    except (OSError, UnicodeError):
        kept = ""
    if not kept.strip():
        message = "who are you? Put your own token into PASHE_TOKEN, or name --token-file"
        raise StackError(message)
    return httpx.Client(
        base_url=control.find_origin(find_home()),
        headers={"Authorization": f"Bearer {kept.strip()}"},
        timeout=60,
    )


def _good(answer: httpx.Response) -> httpx.Response:
    """Return a good answer.

    Raises:
        StackError: it was refused; the message says why.

    """
    if answer.is_success:
        return answer
    words = {
        401: "your token does not count (any more)",
        404: "there is no such thing: `pashe export statistics list` says what is published",
    }
    told = _told(answer)
    why = words.get(answer.status_code) or told.get("detail") or told.get("title")
    if "step-up" in str(told.get("type")):
        why = "sign in again with your second factor: the last time is too long ago"
    message = f"nothing was written: {why}"
    raise StackError(message)


def _told(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem that an answer is, or nothing."""
    is_problem = "problem+json" in answer.headers.get("content-type", "")
    return dict(answer.json()) if is_problem else {}
