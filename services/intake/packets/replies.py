"""Answers that connectors bring back, taken one by one in a transaction each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.intake.casework.stages import Asked
from services.intake.packets import store
from shared.access import Caller
from shared.clock import now
from shared.errors import Problem
from shared.telemetry import Log
from shared.vocabulary import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from services.intake.packets.connectors import Connector, Reply
    from services.intake.packets.service import Packets
    from shared.runtime import Service

EVERY: Final = 30.0
"""Seconds between two looks for answers."""

_log = Log("packets")


async def take_once(service: Service, packets: Packets) -> int:
    """Take every answer that lies ready; return how many were about a packet of ours.

    One that is about nothing known, or no longer fits, is laid aside for a person, never dropped.
    """
    many = 0
    for connector in packets.connectors.values():
        for reply, file in await asyncio.to_thread(_ready, connector):
            known = await _take(service, packets, connector, reply)
            await asyncio.to_thread(connector.taken, file, known=known)
            many += known
    if many:
        service.waker.wake()
    return many


def _ready(connector: Connector) -> list[tuple[Reply, Path]]:
    found: Iterator[tuple[Reply, Path]] = connector.replies()
    return list(found)


async def _take(service: Service, packets: Packets, connector: Connector, reply: Reply) -> bool:
    at = now()
    caller = Caller(f"connector.{connector.key}", Role.SUPERVISOR)
    try:
        async with service.flow.begin() as conn:
            case_id = await store.case_of_packet(conn, reply.packet_id)
            if case_id is None:
                return False
            asked = Asked(case_id, caller, at)
            by = f"{connector.key}:{reply.by}"[:80]
            await packets.answer(conn, asked, reply.packet_id, reply.answer, by, reply.reference)
    except Problem as error:
        _log.error("reply-not-taken", error)
        return False
    return True


async def watch(service: Service, packets: Packets) -> None:
    """Look again and again; what cannot be read now is read later."""
    while True:
        try:
            await take_once(service, packets)
        except OSError as error:
            _log.error("replies-not-read", error)
        await asyncio.sleep(EVERY)
