"""Print the verifier of proof files into the docs: `python -m tests.support.print_program`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "history.md"
PROGRAM = ROOT / "services" / "audit" / "check_proof.py"


def printed() -> str:
    """Return the document with the present program at its end."""
    head, _, _ = DOCUMENT.read_text("utf-8").partition("```python\n")
    return f"{head}```python\n{PROGRAM.read_text('utf-8')}```\n"


if __name__ == "__main__":
    DOCUMENT.write_text(printed(), "utf-8")
