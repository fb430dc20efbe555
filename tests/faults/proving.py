"""Runs the tests that show a fault of their own, all in one go, and makes rows of their outcome."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.faults.rows import Row
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.faults.listed import Proved

WITHIN = 4800.0
"""Seconds for all of them; the drill and the rolling release may take half an hour each."""


async def prove(tests: Sequence[Proved]) -> AsyncIterator[Row]:
    """Yield a row for each test; one that did not run is an error, as one that failed."""
    if not tests:
        return
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ("-m", "pytest", f"--junitxml={report}", *(t.test for t in tests))
        code, said = await _run(sys.executable, *words)
        found = outcomes(await asyncio.to_thread(report.read_text)) if report.is_file() else {}
    for test in tests:
        path, _, name = test.test.partition("::")
        cases = [case for case in found.get(path, []) if case[0].partition("[")[0] == name]
        passed = bool(cases) and all(ok for _, ok, _ in cases)
        yield Row(
            fault=test.name,
            rig="a test",
            proof=test.test.removeprefix("tests/"),
            seconds=sum(seconds for _, _, seconds in cases),
            error="" if passed else f"FAILED: {test.test}",
        )
    if code:
        print(said[-4000:])


async def _run(*words: str) -> tuple[int | None, str]:
    """Run to its end, and not beyond ours; return its code and what it said."""
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(WITHIN):
            said, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):  # told to end, pytest takes down what it started
            process.terminate()
        code = await process.wait()
    return code, said.decode("utf-8", "replace")


def outcomes(report: str) -> dict[str, list[tuple[str, bool, float]]]:
    """Read JUnit's XML: by file, the name of each case, whether it passed, its seconds."""
    found: dict[str, list[tuple[str, bool, float]]] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314  (our own pytest wrote it)
        path = case.get("classname", "").replace(".", "/") + ".py"
        wrong = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        row = (case.get("name", ""), not wrong, float(case.get("time", "0")))
        found.setdefault(path, []).append(row)
    return found
