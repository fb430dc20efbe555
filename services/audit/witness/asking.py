"""Asking witnesses to cosign our checkpoints. None is waited for: what they say is added."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final, NoReturn

import httpx

from services.audit import merkle, nodes
from services.audit.checkpoint import NoteInvalid, parse_checkpoint, parse_note, verify_note
from services.audit.witness.rules import SIZE_TYPE
from shared import telemetry
from shared.lean import text
from shared.telemetry import Log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.audit.witness.policy import KnownWitness

EVERY: Final = 0.5
"""Seconds between looks for a new checkpoint."""

TIMEOUT: Final = 10.0
"""Seconds for one answer of a witness."""

LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries while a witness does not cosign."""

MOST_BYTES: Final = 16 * 1024
"""Bytes of an answer that are read."""

_KEEP = text("""
INSERT INTO cosigned (witness, size, note, line)
SELECT :witness, :size, :note, :line FROM log_head WHERE checkpoint_size >= :size
ON CONFLICT (witness) DO UPDATE
SET size = excluded.size, note = excluded.note, line = excluded.line, at = now()
WHERE cosigned.size <= excluded.size
""")


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """A witness does not cosign; `grave` if it contradicts us: it has seen another history."""

    def __init__(self, why: str, *, grave: bool = False) -> None:
        super().__init__(why)
        self.grave = grave


class Asking:
    """Brings each new checkpoint to each witness that has an address, until cancelled."""

    def __init__(self, engine: AsyncEngine, witnesses: Sequence[KnownWitness]) -> None:
        """Take the engine of the flow role and the witnesses."""
        self._engine = engine
        self._witnesses = [witness for witness in witnesses if witness.url]
        self._known: dict[str, int] = {}
        self._log = Log("witness")

    async def run(self) -> None:
        """Ask for ever; nothing that a witness does, or fails to do, ends this."""
        telemetry.WITNESSES.set(len(self._witnesses))
        for witness in self._witnesses:
            telemetry.WITNESSED.labels(witness.key.name)
            telemetry.WITNESS_REFUSES.labels(witness.key.name)
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            await asyncio.gather(
                *(self._follow(client, witness) for witness in self._witnesses),
                asyncio.Event().wait(),
            )

    async def _follow(self, client: httpx.AsyncClient, witness: KnownWitness) -> NoReturn:
        done, pause, name = "", EVERY, witness.key.name
        while True:
            try:
                async with self._engine.connect() as conn:
                    note = (await nodes.load_published(conn)).signed
                if note is not None and note != done:
                    await self._ask(client, witness, note)
                    done = note
                    telemetry.WITNESS_REFUSES.labels(name).set(0)
                pause = EVERY
            except Refused as error:
                telemetry.WITNESS_REFUSES.labels(name).set(1 if error.grave else 0)
                tell = self._log.error if error.grave else self._log.warning
                tell("witness-does-not-cosign", witness=name, why=str(error))
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception as error:  # noqa: BLE001  (publishing and the other witnesses go on)
                self._log.warning(
                    "witness-not-there", witness=name, error=telemetry.describe(error)
                )
                pause = min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _ask(self, client: httpx.AsyncClient, witness: KnownWitness, note: str) -> None:
        """Bring one checkpoint to one witness, and keep the cosignature.

        Raises:
            Refused: the witness does not cosign.
            Exception: it, or the database, does not answer.

        """
        told = parse_checkpoint(parse_note(note.encode()).text)
        name = witness.key.name
        for _ in range(2):  # the second time from the size that it said it remembers
            old = self._known.get(name, 0)
            proof = await self._prove(old, told.size)
            body = f"old {old}\n{proof}\n{note}".encode()
            status, kind, answer = await _post(client, f"{witness.url}/add-checkpoint", body)
            if status == httpx.codes.OK:
                line = _cosignature_in(answer, told.text, witness)
                async with self._engine.begin() as conn:
                    values = {"witness": name, "size": told.size, "note": note, "line": line}
                    await conn.execute(_KEEP, values)
                self._known[name] = told.size
                telemetry.WITNESSED.labels(name).set(told.size)
                return
            if status != httpx.codes.CONFLICT or not kind.startswith(SIZE_TYPE):
                # our key is not the one it knows, or it has seen what our log does not lead to
                grave = status in (httpx.codes.FORBIDDEN, httpx.codes.UNPROCESSABLE_ENTITY)
                message = f"it answers {status}"
                raise Refused(message, grave=grave)
            size = answer.strip()
            if not size.isdigit() or int(size[:20]) > told.size:
                message = f"it remembers another size than our {told.size}: {size[:20]!r}"
                raise Refused(message, grave=True)
            self._known[name] = int(size)
        raise Refused("its memory moves while it is asked")

    async def _prove(self, old: int, new: int) -> str:
        spans = merkle.consistency_spans(old, new)
        async with self._engine.connect() as conn:
            places = [place for span in spans for place in merkle.cover(span)]
            found = await nodes.read_nodes(conn, places)
        steps = merkle.prove(spans, found.__getitem__)
        return "".join(f"{base64.b64encode(step).decode()}\n" for step in steps)


async def _post(client: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, str, str]:
    """Post, and return status, type and text of the answer, cut at what is read of it."""
    kept = b""
    headers = {"content-type": "text/plain; charset=utf-8"}
    async with client.stream("POST", url, content=body, headers=headers) as answer:
        async for part in answer.aiter_bytes():
            kept += part
            if len(kept) > MOST_BYTES:
                break
        kind = answer.headers.get("content-type", "")
    return answer.status_code, kind, kept[:MOST_BYTES].decode("utf-8", "replace")


def _cosignature_in(answer: str, text: str, witness: KnownWitness) -> str:
    """Return the one line of the witness's cosignature, checked.

    Raises:
        Refused: there is none that holds.

    """
    try:
        verify_note(f"{text}\n{answer}".encode(), [witness.key])
    except NoteInvalid:
        raise Refused("its cosignature does not hold", grave=True) from None
    lines = [line for line in answer.splitlines() if f" {witness.key.name} " in line]
    return f"{lines[0]}\n"
