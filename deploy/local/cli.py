"""The command `pashe`: one machine's stack, from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.local import (
    accounts_cli,
    backup,
    bench,
    control,
    directory_cli,
    erasing,
    exporting,
    guests,
    history,
    importing,
    key_epoch,
    parked,
    scraping,
    scrub,
    tokens,
)
from deploy.local.errors import StackError
from deploy.local.home import Home, erase_home, find_home, load_token_seed, take_lock
from deploy.local.keys import SERVICES
from deploy.local.process import tail_of
from deploy.local.starting import Interrupted, interruptible, start_supervisor, stop_supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from shared.vocabulary import Role

NOT_UP: Final = 3
"""Exit code of `status` when nothing runs (as the Linux Standard Base has it)."""

_NOTHING: Final[dict[str, Any]] = {
    "origin": None,
    "parts": [],
    "lag": None,
    "outbox": None,
    "parked": None,
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Pashe on one machine: Kafka, PostgreSQL, four services and one origin.",
)
app.add_typer(parked.app, name="parked")
app.add_typer(history.app, name="audit")
app.add_typer(guests.app, name="kafka")
app.add_typer(directory_cli.app, name="directory")
app.add_typer(exporting.app, name="export")
app.command("replay")(parked.replay_outbox)
app.add_typer(accounts_cli.client, name="client")
app.command("sign-in")(accounts_cli.sign_in)
app.command("erase")(erasing.erase)
app.command("backup")(backup.back_up)
app.command("restore")(backup.restore)
app.command("scrub")(scrub.scrub)
app.command("rotate-keys")(key_epoch.rotate_keys)
app.command("import")(importing.import_file)
app.command("token")(tokens.print_token)
app.command("prometheus")(scraping.run_prometheus)
app.command("bench")(bench.measure_speed)
console = Console(highlight=False)


class Profile(StrEnum):
    """How the directory of offices is loaded."""

    demonstration = "demonstration"
    """As active: cases are offered to them."""

    pilot = "pilot"
    """As listed: each is activated by a person first."""


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it is up")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Erase all data first")] = False,
    brokers: Annotated[int, typer.Option(min=0, max=5, help="Kafka brokers (first start)")] = 0,
    profile: Annotated[Profile | None, typer.Option(help="Which directory")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Run the demonstration then")] = False,
) -> None:
    """Start everything, and stay until Ctrl-C (or return, with --detach)."""
    home = find_home()
    options = [
        *(["--fresh"] if fresh else []),
        *(["--brokers", str(brokers)] if brokers else []),
        *(["--profile", profile.value] if profile else []),
    ]
    with interruptible():
        process, origin = start_supervisor(home, console, options, detach=detach)
        if process is None:
            console.print(f"Already up at {origin}")
        code = 0
        try:
            if demo:
                code = _run_demo(home)
            if process is None or detach:
                _links(home, origin, stays=False)
                raise typer.Exit(code)
            _links(home, origin, stays=True)
            ended = process.wait()
        except Interrupted:
            if process is not None and not detach:
                console.print("\nEnding …")
                stop_supervisor(process)
                console.print("Ended.")
            raise typer.Exit(code) from None
    if ended != 0:
        message = f"the supervisor ended with exit code {ended}; its log: {home.log('supervisor')}"
        raise StackError(message, tail_of(home.log("supervisor")))
    console.print("Ended.")
    raise typer.Exit(code)


def _links(home: Home, origin: str, *, stays: bool) -> None:
    console.print(f"\n[bold]Pashe is up at {origin}[/bold]")
    found = control.find_parts(home) or {"parts": []}
    for name in (part["name"] for part in found["parts"] if part["name"] in SERVICES):
        console.print(f"  {name:<13} {origin}/{name}/v1/openapi.json", soft_wrap=True)
    console.print(f"  {'sign-in':<13} {origin}/sign-in (`pashe sign-in ROLE` prints a link)")
    hint = "Ctrl-C ends it." if stays else "`pashe status` shows it, `pashe down` ends it."
    console.print(hint)


@app.command()
def down(
    *,
    erase: Annotated[bool, typer.Option("--erase", help="Erase all data as well")] = False,
) -> None:
    """End everything that runs for this state folder."""
    home = find_home()
    ran = control.stop_stack(home)
    console.print("Ended." if ran else "It was not up.")
    if erase and home.path.is_dir():
        lock = take_lock(home)
        if lock is None:
            message = "it was started again meanwhile: nothing is erased"
            raise StackError(message)
        erase_home(home)
        os.close(lock)
        console.print("Its data is erased.")


@app.command()
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """Show each part, lag, unsent events and parked records; exit code 3 when it is not up."""
    found = control.find_status(find_home())
    if as_json:
        typer.echo(json.dumps(found or _NOTHING))
    elif found is None:
        console.print("It is not up.")
    else:
        _show(found)
    if found is None:
        raise typer.Exit(NOT_UP)


def _show(found: dict[str, Any]) -> None:
    words = {True: "[green]ready[/]", False: "[red]not ready[/]", None: "[yellow]?[/]"}
    console.print(f"{found['origin']} ({found['phase']})")
    table = Table("part", "pid", "port", "ready", "restarts", "unsent", "parked")
    for part in found["parts"]:
        name = part["name"]
        figures = [
            str((found[what] or {}).get(name, "")) if name in SERVICES else ""
            for what in ("outbox", "parked")
        ]
        row = (name, str(part["pid"] or "–"), str(part["port"]), words[part["ready"]])
        table.add_row(*row, str(part["restarts"]), *figures)
    console.print(table)
    lag = found["lag"]
    if lag is None:
        console.print("Consumer lag: unknown")
    else:
        behind = ", ".join(f"{group} {records}" for group, records in lag.items() if records)
        console.print(f"Consumer lag: {behind or 'none'}")


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="Which part")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many")] = 50,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C")] = False,
) -> None:
    """Print the end of a part's log; without a name, say which there are."""
    home = find_home()
    if name is None:
        for path in sorted(home.logs.glob("*.log")):
            typer.echo(f"{path.stem:<13} {path}")
        return
    path = home.log(name)
    if path.parent != home.logs or not path.is_file():
        message = f"there is no log of {name}: `pashe logs` lists them"
        raise StackError(message)
    for line in tail_of(path, lines=lines):
        typer.echo(line)
    if follow:
        _follow(path)


def _follow(path: Path) -> None:
    with path.open("r", encoding="utf-8", errors="replace") as file, interruptible():
        file.seek(0, os.SEEK_END)
        try:
            while True:
                if chunk := file.read():
                    typer.echo(chunk, nl=False)
                else:
                    time.sleep(0.2)
        except Interrupted:
            return


@app.command()
def demo() -> None:
    """Run the demonstration against the stack that is up; exit 0 only if it all came true."""
    with interruptible():
        try:
            raise typer.Exit(_run_demo(find_home()))
        except Interrupted:
            raise typer.Exit(130) from None


def _run_demo(home: Home) -> int:
    from deploy.local.demo import run  # noqa: PLC0415  (slow, needed here only)
    from shared.access import make_token  # noqa: PLC0415  (likewise)

    seed = load_token_seed(home)

    def bearer(role: Role, org: str | None) -> str:
        return make_token(seed, role, org=org)

    return asyncio.run(run(control.find_origin(home), bearer, console))


def main() -> None:
    """Run the command line; an error is one clear line and the end of the log behind it."""
    try:
        app()
    except StackError as error:
        for line in error.tail:
            sys.stderr.write(f"  | {line}\n")
        sys.stderr.write(f"pashe: {error}\n")
        sys.exit(1)
    except Interrupted:
        sys.stderr.write("Ended.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
