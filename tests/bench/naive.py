"""The peer of `intake`: the app that one writes first with FastAPI and SQLAlchemy's ORM.

One insert into a table of reports and one into an outbox, one commit a request. It is served like
ours (one uvicorn worker, uvloop, httptools), its pool has a connection for each client, and it
encrypts nothing, gives no receipt and has no relay: what it leaves out is in its favour.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOL = 64
"""Database connections."""


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """The declarative base."""

    type_annotation_map = {dict[str, Any]: JSONB, list[Any]: JSONB}  # noqa: RUF012


class Report(Base):
    """A report as it came."""

    __tablename__ = "report"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    created_at: Mapped[datetime] = mapped_column(default=_now)
    channel: Mapped[str]
    language: Mapped[str | None]
    narrative: Mapped[str | None]
    reporter: Mapped[dict[str, Any]]
    persons: Mapped[list[Any]]
    places: Mapped[list[Any]]
    concerns: Mapped[list[Any]]
    needs: Mapped[list[Any]]
    consent: Mapped[list[Any]]
    status: Mapped[str] = mapped_column(default="received")


class Message(Base):
    """An event that something else would send."""

    __tablename__ = "outbox"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    created_at: Mapped[datetime] = mapped_column(default=_now)
    topic: Mapped[str]
    payload: Mapped[dict[str, Any]]
    sent: Mapped[bool] = mapped_column(default=False)


class AgeIn(BaseModel):
    """An age."""

    min: int | None = Field(None, ge=0, le=120)
    max: int | None = Field(None, ge=0, le=120)
    basis: str | None = None


class PersonIn(BaseModel):
    """A person."""

    ref: str | None = None
    name: str | None = Field(None, max_length=200)
    phone: str | None = Field(None, max_length=200)
    age: AgeIn | None = None
    sex: str = "unknown"
    languages: list[str] = []


class PlaceIn(BaseModel):
    """A place."""

    role: str = "event"
    pcode: str | None = Field(None, max_length=20)
    text: str | None = Field(None, max_length=2000)


class ReportIn(BaseModel):
    """A report."""

    channel: str
    language: str | None = None
    reporter: dict[str, Any] = {}
    persons: list[PersonIn] = []
    places: list[PlaceIn] = []
    concerns: list[str] = []
    needs: list[str] = []
    consent: list[dict[str, Any]] = []
    narrative: str | None = Field(None, max_length=50_000)


class ReportOut(BaseModel):
    """The answer."""

    id: UUID
    received_at: datetime
    status: str


engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=POOL)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    """Give each request a session."""
    async with sessions() as opened:
        yield opened


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables."""
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/live")
async def live() -> dict[str, str]:
    """Answer."""
    return {"status": "live"}


@app.post("/reports", status_code=201)
async def submit(body: ReportIn, db: Annotated[AsyncSession, Depends(session)]) -> ReportOut:
    """Store a report and its event, and answer."""
    report = Report(**body.model_dump())
    db.add(report)
    await db.flush()
    db.add(Message(topic="reports", payload={"type": "report-submitted", "id": str(report.id)}))
    await db.commit()
    return ReportOut(id=report.id, received_at=report.created_at, status=report.status)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["HTTP_PORT"]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
    )
