"""Writes `docs/notices.md`: what a notice looks like on a locked phone, and who is told what.

`python -m tests.support.notices_page`; a unit test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.notification.policy_file import TABLE, parse_policy
from services.notification.templates import LANGUAGES, Audience, load_templates
from shared.sms import count_segments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.notification.policy import Policy, Row
    from services.notification.templates import Templates

PAGE: Final = Path(__file__).parents[2] / "docs" / "notices.md"

EXAMPLES: Final = {"code": "4821", "count": "12", "soon": "3", "url": "https://centre.example.org"}
"""What stands in the places of the previews."""

_HEAD: Final = """\
# Notices: who is told what by a machine, and how it looks

Made from `services/notification/policy.toml` and `services/notification/templates/` by
`python -m tests.support.notices_page`; a test compares. How each way is set up, and what is known
of a notice after it was sent: [ways.md](ways.md).

## On a locked screen
This is all that a phone shows, to whoever holds it. A text is one SMS in every language, also with
the longest value in each place.
"""

_TABLE: Final = """
## Who is told what
The first line that fits decides, and what no line allows is withheld. A committee is never told by
a machine. At T0 and T1 a person of the desk gets what is withheld, failed or unknown as a task.

| after | who | urgency | what happens | only if | when | useful for | why |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""

_WHO: Final = {
    "person": "the person",
    "reporter": "the reporter",
    "on_duty": "whoever is on duty",
    "supervisor": "a supervisor on duty",
    "provider": "the provider's workers",
}
_FOR: Final = {
    Audience.PERSONS: "to a person",
    Audience.STAFF: "to staff",
    Audience.PROVIDERS: "to a provider's workers",
}


def render() -> str:
    """Return the page."""
    templates = load_templates()
    policy = parse_policy(TABLE.read_text("utf-8"), templates.names, LANGUAGES)
    previews = "\n".join(
        line for name in sorted(templates.names) for line in _preview(templates, name)
    )
    return f"{_HEAD}\n{previews}\n{_TABLE}{''.join(_lines(policy))}"


def _preview(templates: Templates, name: str) -> Iterator[str]:
    yield f"### `{name}`, {_FOR[templates.audience(name)]}"
    for language in LANGUAGES:
        text = templates.text(name, language, EXAMPLES)
        size = count_segments(text)
        yield f"`{language}`, {size.parts} SMS, {size.units} {size.encoding} units:"
        yield f"```text\n{text}\n```"
        if templates.is_letter(name):
            letter = templates.letter(name, language, EXAMPLES)
            yield f"as mail:\n```text\n{letter.subject}\n\n{letter.body}\n```"


def _lines(policy: Policy) -> Iterator[str]:
    for row in policy.row:
        cells = (
            f"`{row.event}`",
            _WHO[row.recipient],
            ", ".join(row.urgency) or "any",
            _happens(row),
            _only_if(row),
            "their safe hours" if row.hours == "safe" and row.then == "send" else "at once",
            _useful(row) if row.then == "send" else "–",
            row.why,
        )
        yield f"| {' | '.join(cells)} |\n"


def _happens(row: Row) -> str:
    if row.then == "withhold":
        return f"withheld: `{row.reason}`"
    return f"`{row.template}` by {', '.join(row.ways)}"


def _only_if(row: Row) -> str:
    asked = [
        words
        for words, given in (
            ("the person agrees", row.consent),
            ("a safe way was said", row.safe_contact),
        )
        if given == "given" and row.then == "send"
    ]
    return " and ".join(asked) or "–"


def _useful(row: Row) -> str:
    if row.useful_minutes is not None:
        return f"{row.useful_minutes} minutes"
    return f"{row.useful_days} days"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
    print(f"wrote {PAGE.name}")
