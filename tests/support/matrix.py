"""docs/access.md as data: which role may ask which endpoint, and which verb an endpoint is."""

from __future__ import annotations

import re
from pathlib import Path

from shared.access_rules import Verb

DOCUMENT = Path(__file__).parents[2] / "docs" / "access.md"
NOBODY = "anyone"
_OF_REFERRAL = "/referral/v1/referrals/{referral_id}"
_VERBS = {
    "GET /intake/v1/cases/{case_id}": Verb.SEE,
    "GET /intake/v1/cases/{case_id}/consent": Verb.CONSENTS,
    "GET /intake/v1/cases/{case_id}/persons": Verb.KNOW,
    "GET /intake/v1/cases/{case_id}/similar": Verb.KNOW,
    "GET /intake/v1/cases/{case_id}/attachments": Verb.KNOW,
    "GET /intake/v1/cases/{case_id}/notes": Verb.KNOW,
    "GET /intake/v1/submissions/{submission_id}/messages": Verb.KNOW,
    "GET /intake/v1/disclosures/{referral_id}": Verb.KNOW,
    f"GET {_OF_REFERRAL}": Verb.REFERRAL,
    f"GET {_OF_REFERRAL}/explanation": Verb.EXPLAIN,
    "GET /referral/fhir/r4/Task/{referral_id}": Verb.REFERRAL,
    "GET /referral/fhir/r4/ServiceRequest/{referral_id}": Verb.REFERRAL,
    "PUT /referral/fhir/r4/Task/{referral_id}": Verb.ANSWER,
    "GET /audit/v1/cases/{case_id}/history": Verb.HISTORY,
    "GET /audit/v1/cases/{case_id}/proof": Verb.HISTORY,
}


def _tables() -> list[list[list[str]]]:
    """Return the document's tables as rows of cells, heads first, without the line of dashes."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            if not set("".join(cells)) <= set("- :"):
                tables[-1].append(cells)
        before = line
    return tables


def _table(head: str) -> list[list[str]]:
    (found,) = [table for table in _tables() if table[0][0] == head]
    return found


def read_endpoints() -> dict[str, dict[str, bool]]:
    """Return for each endpoint who may ask it."""
    heads, *rows = _table("endpoint")
    return {
        row[0]: {head: cell == "✓" for head, cell in zip(heads[1:], row[1:], strict=True)}
        for row in rows
    }


def read_reaches() -> dict[str, dict[str, str]]:
    """Return for each verb how far each role reaches, as the document says it."""
    heads, *rows = _table("verb")
    return {
        row[0]: {head: c for head, c in zip(heads[1:], row[1:], strict=True) if c != "–"}
        for row in rows
    }


def verb_of(endpoint: str) -> Verb | None:
    """Return the verb of an endpoint that is about one case or referral, else None."""
    if found := _VERBS.get(endpoint):
        return found
    if re.search(r"^POST .*/referrals/{referral_id}/", endpoint):
        return Verb.ANSWER
    if "{attachment_id}" in endpoint:
        return Verb.KNOW
    if re.search(r"{(case_id|task_id|submission_id)}", endpoint):
        return Verb.WORK
    return None
