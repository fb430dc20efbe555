"""All dashboards."""

from __future__ import annotations

from typing import Final

from deploy.grafana.flow import FLOW
from deploy.grafana.helped import HELPED
from deploy.grafana.history import HISTORY
from deploy.grafana.one import ONE

BOARDS: Final = (HELPED, FLOW, ONE, HISTORY)
