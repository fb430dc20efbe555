"""Old and new code on one schema: expand, migrate, contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory

from shared.database import Schema
from shared.migrate import Revisions, revisions_of, serves_of

if TYPE_CHECKING:
    from pathlib import Path

OURS = Revisions("0002", frozenset({"0001", "0002"}))


def test_code_runs_on_the_schema_it_was_made_for_and_waits_on_an_earlier_one() -> None:
    assert OURS.run_on(Schema("0002", "0001"))
    assert not OURS.run_on(Schema("0001", "0001"))
    assert not OURS.run_on(None)


def test_code_runs_on_a_later_schema_as_long_as_that_serves_it() -> None:
    assert OURS.run_on(Schema("0003", "0001"))
    assert OURS.run_on(Schema("0009", "0002"))
    assert not OURS.run_on(Schema("0004", "0003"))
    assert not OURS.run_on(Schema("0003", "0003")), "one that says nothing serves itself alone"


def scripts(folder: Path, *versions: tuple[str, str]) -> ScriptDirectory:
    """Write migrations, each a number and a line of its own, and read them."""
    (folder / "versions").mkdir(parents=True)
    before = None
    for number, line in versions:
        text = f"revision = {number!r}\ndown_revision = {before!r}\n{line}\n"
        (folder / "versions" / f"{number}.py").write_text(text)
        before = number
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_a_schema_serves_all_code_since_the_last_migration_that_took_something_away(
    tmp_path: Path,
) -> None:
    grown = [("0001", ""), ("0002", ""), ("0003", "")]
    assert serves_of(scripts(tmp_path / "grown", *grown)) == "0001"
    cut = [*grown, ("0004", "serves = '0002'"), ("0005", "")]
    assert serves_of(scripts(tmp_path / "cut", *cut)) == "0002"


def test_every_service_knows_its_own_newest_schema() -> None:
    for name in ("intake", "referral", "notification", "audit"):
        ours = revisions_of(name)
        assert ours.head in ours.known
        assert ours.run_on(Schema(ours.head, ours.head))
