"""Start audit: `python -m services.audit.main`."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from services.audit import api, operations
from services.audit.consumers import AuditConsumer
from services.audit.daily import Daily
from services.audit.figures import api as figures_api
from services.audit.figures.datasets import Datasets
from services.audit.figures.following import Figures, Releases
from services.audit.outside import OutsideCheckpoint
from services.audit.pages import figures as figures_pages
from services.audit.pages import history
from services.audit.proofs import Proofs
from services.audit.reading import Reading
from services.audit.sequencer import Sequencer
from services.audit.service import Ledger
from services.audit.settings import load_audit_settings
from services.audit.watching import Watching
from services.audit.witness.api import make_router
from services.audit.witness.asking import Asking
from shared import runtime, telemetry
from shared.events import ACCESSES
from shared.http import make_app
from shared.operations.part import make_part_router

if TYPE_CHECKING:
    from fastapi import FastAPI


ERASE = 2.0
"""Seconds between looks for erased cases."""


class AuditService(runtime.Service):
    """The service, whose readiness also says whether the log contradicts its own checkpoint."""

    reading: Reading

    async def readiness(self) -> dict[str, Any]:
        """Add `log`: `ok`, what is wrong with it, or `unknown` while the database is down."""
        report = await runtime.Service.readiness(self)
        try:
            async with asyncio.timeout(1):
                trouble = await self.reading.trouble()
        except Exception as error:  # noqa: BLE001  (not ready is the answer)
            report |= {"ready": False, "log": f"unknown: {telemetry.describe(error)}"}
        else:
            report |= {"ready": report["ready"] and trouble is None, "log": trouble or "ok"}
        return report


def build() -> tuple[runtime.Service, FastAPI]:
    """Wire the service in the order it starts.

    Raises:
        SettingsError: a variable or key is wrong.

    """
    made = runtime.make_service("audit", owns=(ACCESSES,))
    service = AuditService(**{f.name: getattr(made, f.name) for f in fields(made)})
    settings = service.settings
    own = load_audit_settings(settings)
    outside = OutsideCheckpoint(own.state_dir, own.signer.vkey)
    ledger = Ledger(service.flow, own, outside)
    consumer = AuditConsumer(settings.kafka, f"audit.{settings.replica}.sequencer", ledger.append)
    sequencer = Sequencer(settings.database_url, settings.replica, ledger, consumer)
    service.reading = Reading(service.web, service.outbox, outside)
    # Lag, stall and hold are watched like any consumer's; it joins Kafka by itself.
    service.consumers.append(cast("Any", consumer))
    service.checks.append(ledger.check_key)

    async def erase() -> None:
        while True:
            await ledger.erase()
            await asyncio.sleep(ERASE)

    asking = Asking(service.flow, own.witnesses)
    folder = own.state_dir / "monitor"
    watching = Watching(service.flow, folder, own.signer.vkey, own.witnesses)
    publishing = Daily(service.flow, witnessed=any(each.url for each in own.witnesses))
    figures, releases = Figures(service.flow), Releases(service.web)
    service.tasks += [sequencer.run, erase, asking.run, watching.run, publishing.run, figures.run]
    app = make_app(
        service,
        "Pashe audit",
        "Every event, for ever, provable: the history of each case, and the log of commitments.",
    )
    proofs = Proofs(service.web)
    app.include_router(api.make_router(service, service.reading, proofs))
    daily = Daily(service.web)
    app.include_router(api.make_public_router(proofs, daily, own.signer.vkey, own.trusted))
    app.include_router(figures_api.make_router(figures, releases))
    datasets = Datasets(service.flow, service.outbox)
    app.include_router(figures_api.make_dataset_router(service, datasets))
    app.include_router(make_router(own.witness))
    app.include_router(history.make_router(service, service.reading))
    app.include_router(figures_pages.make_router(figures, releases))
    app.include_router(make_part_router(service, operations.look))
    return service, app


if __name__ == "__main__":
    runtime.main(build)
