"""`pashe directory import|export`: the directory of providers as HSDS 3, in a supervisor's name."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  (typer reads the annotation)
from typing import TYPE_CHECKING, Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deploy.local.errors import StackError
from deploy.local.home import find_home, find_state, load_token_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, help="The directory of providers as HSDS 3.")
_ERRORS: Final = Console(stderr=True, highlight=False)
_OUT: Final = Console(highlight=False, soft_wrap=True)
_LINES: Final = "application/x-ndjson"
_PATIENCE: Final = httpx.Timeout(10, read=3600, write=3600)
_KINDS: Final = {".zip": "application/zip", ".ndjson": _LINES}


@app.command("import")
def import_directory(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            readable=True,
            help="A zip, a folder of CSV files, a JSON document, or one object a line (.ndjson)",
        ),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try all of it, keep nothing")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also change what a person edited here")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON")] = False,
) -> None:
    """Take a package whole, or say by row what is wrong and take nothing (exit code 1)."""
    asked = {"dry_run": str(dry_run).lower(), "overwrite": str(overwrite).lower()}
    last: dict[str, Any] = {}
    with (
        _opened(file) as (body, kind),
        _asking() as client,
        client.stream(
            "POST",
            "/referral/v1/directory/import",
            params=asked,
            content=iter(lambda: body.read(65_536), b""),
            headers={"content-type": kind, "accept": _LINES},
        ) as answer,
    ):
        _must_be_well(answer)
        with _ERRORS.status("sending") as status:
            for line in answer.iter_lines():
                last = json.loads(line)
                if last["event"] == "progress":
                    count = last.get("objects", last.get("offers"))
                    status.update(f"{last['phase']}: {count}")
    if last.get("event") == "error":
        message = f"nothing was taken: {last['detail'] or last['title']}"
        raise StackError(message)
    if last.get("event") != "end":
        message = "referral ended before it was done: nothing was taken; send the file again"
        raise StackError(message)
    if as_json:
        typer.echo(json.dumps({name: last[name] for name in last if name != "event"}, indent=2))
    else:
        _show(last)
    if last["problem_count"]:
        raise typer.Exit(1)


@app.command("export")
def export_directory(
    file: Annotated[Path, typer.Argument(help="Where to: .json, .zip, or a new folder for tables")],
    *,
    with_confidential: Annotated[
        bool, typer.Option("--with-confidential", help="With where shelters are; it is recorded")
    ] = False,
) -> None:
    """Write the directory as HSDS 3; without more, of shelters only the district."""
    as_folder = file.suffix not in (".json", ".zip")
    if as_folder and file.exists() and (not file.is_dir() or any(file.iterdir())):
        message = "the folder is not empty: name a new one, or a file that ends with .json or .zip"
        raise StackError(message)
    form = "json" if file.suffix == ".json" else "package"
    asked = {"form": form, "confidential": str(with_confidential).lower()}
    with (
        tempfile.TemporaryFile() as held,
        _asking() as client,
        client.stream("GET", "/referral/v1/directory/export", params=asked) as answer,
    ):
        _must_be_well(answer)
        for chunk in answer.iter_bytes():
            held.write(chunk)
        held.seek(0)
        if as_folder:
            file.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(held) as packed:
                packed.extractall(file)
        else:
            with file.open("wb") as out:
                shutil.copyfileobj(held, out)
    typer.echo(f"Written: {file}")


@contextmanager
def _asking() -> Iterator[httpx.Client]:
    from shared.access import make_token  # noqa: PLC0415  (slow, needed here only)
    from shared.vocabulary import Role  # noqa: PLC0415

    home = find_home()
    state = find_state(home)
    if state is None:
        raise StackError("the stack is not up: start it with `pashe up`")
    token = make_token(load_token_seed(home), Role.SUPERVISOR, subject="directory")
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{state.ports['referral']}",
            headers={"authorization": f"Bearer {token}"},
            timeout=_PATIENCE,
        ) as client:
            yield client
    except httpx.HTTPError as error:
        message = f"referral did not answer: {type(error).__name__}; try again"
        raise StackError(message) from error


def _must_be_well(answer: httpx.Response) -> None:
    if not answer.is_success:
        told = json.loads(answer.read() or b"{}")
        message = f"referral refused: {told.get('detail') or told.get('title')}"
        raise StackError(message)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, str]]:
    """Open what is to be sent; a folder is packed on the way."""
    if not file.is_dir():
        with file.open("rb") as body:
            yield body, _KINDS.get(file.suffix, "application/json")
        return
    with tempfile.TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(file.iterdir()):
                if path.is_file():
                    archive.write(path, path.name)
        packed.seek(0)
        yield packed, _KINDS[".zip"]


def _show(told: dict[str, Any]) -> None:
    """Print a report for a person: problems by file and row, then notes, then what changes."""
    if told["problem_count"]:
        table = Table("where", "field", "wrong", "expected")
        for one in told["problems"]:
            table.add_row(_where(one), one["field"], one["wrong"], one["expected"])
        _OUT.print(table)
        count, named = told["problem_count"], len(told["problems"])
        first = "" if count == named else f"; the first {named} are named"
        _OUT.print(f"{count} {'problem' if count == 1 else 'problems'}{first}.")
    for note in told["notes"]:
        where = _where(note["first"]) or "the file"
        times = "once" if note["count"] == 1 else f"{note['count']} times, first"
        seen = "" if note["field"] == where else f" ({times} in {where})"
        _OUT.print(f"note: {note['field']}{seen}: {note['what']}. {note['then']}.")
    if told["problem_count"]:
        _OUT.print("Nothing was taken.")
        return
    _show_changes(told["changes"])
    _OUT.print("A dry run: nothing was kept." if told["dry_run"] else "Taken.")


def _show_changes(changes: dict[str, Any]) -> None:
    counted = {f"objects {what}": counts for what, counts in changes["objects"].items()}
    counted |= {name: changes[name] for name in ("providers", "offers")}
    for name, counts in counted.items():
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        _OUT.print(f"{name}: {told or 'none'}")
    for one in changes["offers_told"]:
        if one["what"] != "new":
            _OUT.print(f"  offer {one['offer_id']} {one['what']}: {', '.join(one['fields'])}")
    if changes["offers"].get("to confirm"):
        _OUT.print("Nobody is sent to those to confirm until a person makes them active again.")
    if changes["absent_services"]:
        _OUT.print(f"{changes['absent_services']} services that came earlier are not in it: kept.")


def _where(told: dict[str, Any]) -> str:
    row = f"row {told['row']}" if "row" in told else ""
    return " ".join(part for part in (told.get("file", ""), row, told.get("path", "")) if part)
