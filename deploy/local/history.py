"""`pashe audit`: verify the history, write and check proof files, witness the logs of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import httpx
import typer
from rich.console import Console

from deploy.local import control
from deploy.local.errors import StackError
from deploy.local.home import Home, find_home, load_token_seed, write_private

KEYS: Final = "keys"
"""File of the pinned public keys, in the folder of the verifier."""

app = typer.Typer(no_args_is_help=True, help="The history and its proofs.")
console = Console(highlight=False)


def _folder(home: Home) -> Path:
    return home.path / "verify"


def _run(module: str, words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", module, *words], check=False)
    raise typer.Exit(done.returncode)


@app.command("verify")
def verify(
    file: Annotated[Path | None, typer.Argument(help="A proof file; without it the log")] = None,
    keys: Annotated[Path | None, typer.Option(help="The public keys that you trust")] = None,
    receipt: Annotated[Path | None, typer.Option(help="A file with a signed receipt")] = None,
    url: Annotated[
        str | None, typer.Option(help="Whose log (default: the stack that is up here)")
    ] = None,
) -> None:
    """Check the whole history against what was seen last time; or a proof file, offline."""
    home = find_home()
    if file is None:
        words = ["--url", url or control.find_origin(home), "--state", str(_folder(home))]
        _run("services.audit.verify", words)
        return
    keys = keys or _folder(home) / KEYS
    if not keys.is_file():
        message = (
            "no public keys are known here: give a file of them with --keys (the centre shows "
            "them at /audit/log/keys; compare them with what somebody you trust has)"
        )
        raise StackError(message)
    more = ["--receipt", str(receipt)] if receipt else []
    _run("services.audit.check_proof", [str(file), "--keys", str(keys), *more])


@app.command("proof")
def proof(
    case: Annotated[str, typer.Argument(help="The case id")],
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: proof-CASE.json)")
    ] = None,
) -> None:
    """Write the proof file of a case. It holds the events of the case: give it to no one else."""
    from shared.access import make_token  # noqa: PLC0415  (slow, needed here only)
    from shared.vocabulary import Role  # noqa: PLC0415  (likewise)

    home = find_home()
    origin, out = control.find_origin(home), out or Path(f"proof-{case}.json")
    if out.exists():
        message = f"{out} exists already: nothing is overwritten"
        raise StackError(message)
    headers = {"authorization": f"Bearer {make_token(load_token_seed(home), Role.AUDITOR)}"}
    try:
        with httpx.Client(base_url=origin, timeout=60) as client:
            path = f"/audit/v1/cases/{quote(case, safe='')}/proof"
            answer = client.get(path, headers=headers)
            if answer.status_code == httpx.codes.NOT_FOUND:
                message = "the signed history knows of no such case (yet)"
                raise StackError(message)
            content = answer.raise_for_status().content
            keys = client.get("/audit/log/keys").raise_for_status().content
    except httpx.HTTPError as error:
        message = f"the history does not answer ({type(error).__name__})"
        raise StackError(message) from None
    write_private(out, content)
    pinned = _folder(home) / KEYS
    pinned.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not pinned.exists():
        write_private(pinned, keys)
    elif pinned.read_bytes() != keys:
        console.print(f"[bold]The keys that the log shows are not those in {pinned}.[/bold]")
    console.print(f"Wrote {out}. Check it anywhere: pashe audit verify {out} --keys {pinned}")


@app.command("pin", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def pin(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Keep the checkpoint of each day of a log, and compare: --url, --folder (see --help)."""
    argv = [sys.executable, "-m", "services.audit.pin", *(words or [])]
    os.execv(sys.executable, argv)  # noqa: S606  (it ends as the program does)


@app.command("witness", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def witness(words: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Witness logs of others, from a folder of its own: --folder, --name, --log (see --help)."""
    argv = [sys.executable, "-m", "services.audit.witness", *(words or [])]
    os.execv(sys.executable, argv)  # noqa: S606  (it is ended as whatever was started)
