"""A small witness on a machine of its own: `python -m services.audit.witness --folder DIR …`.

It needs no database and no Kafka. Its folder holds its key and what it cosigned last: keep the
folder out of backups that somebody could put back, for an older memory is a witness that forgot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from services.audit.checkpoint import NoteInvalid, parse_vkey
from services.audit.witness.api import PREFIX, make_router
from services.audit.witness.policy import PolicyInvalid, read_policy
from services.audit.witness.rules import WitnessBroken, open_witness

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until it is ended; return 2 if it cannot begin."""
    parser = argparse.ArgumentParser(
        prog="python -m services.audit.witness", description="Witness logs of others."
    )
    parser.add_argument("--folder", required=True, type=Path, help="its key and memory")
    parser.add_argument("--name", required=True, help="its name, such as partner.example/witness")
    parser.add_argument(
        "--log", action="append", default=[], help="verifier key of a log; more may be"
    )
    parser.add_argument("--policy", type=Path, help="a file with lines `log VKEY`")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at")
    parser.add_argument("--port", default=8087, type=int, help="port to serve at")
    wanted = parser.parse_args(argv)
    try:
        logs = [parse_vkey(text) for text in wanted.log]
        logs += read_policy(wanted.policy).logs if wanted.policy else ()
        witness = open_witness(wanted.folder, wanted.name, logs)
    except (NoteInvalid, PolicyInvalid, WitnessBroken, OSError) as error:
        sys.stderr.write(f"The witness cannot begin: {error}.\n")
        return 2
    sys.stdout.write(f"This witness's key, for those who check:\n  {witness.vkey}\n")
    sys.stdout.write("".join(f"It witnesses {key.name}.\n" for key in logs))
    if not logs:
        sys.stdout.write("It knows no log yet: give it one with --log and start it again.\n")
    sys.stdout.write(f"Logs reach it at http://{wanted.host}:{wanted.port}{PREFIX}\n")
    sys.stdout.flush()
    app = FastAPI(title="Pashe witness", openapi_url=None)
    app.include_router(make_router(witness))
    uvicorn.run(app, host=wanted.host, port=wanted.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
