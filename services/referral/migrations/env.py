"""Alembic's entry point; the connection comes from `shared.migrate`."""

from __future__ import annotations

from alembic import context

from shared.migrate import run_env

run_env(context.config)
