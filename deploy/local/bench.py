"""`pashe bench`: measures speed on stacks of its own, beside the peers, and shows a table.

The benches themselves are `tests/bench`, in the source tree only; they run as a process that tells
what it does in lines of JSON. Whatever happens, everything they started has ended afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from deploy.local import control
from deploy.local.errors import StackError
from deploy.local.home import ROOT, Home
from deploy.local.process import tail_of
from deploy.local.starting import interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.progress import TaskID

END_WITHIN: Final = 90.0
"""Seconds that the benches get to end what they started, before it is ended for them."""

STACKS: Final = ("stack", "beside", "grown", "start")
"""Folders of the stacks that the benches make below theirs."""

CLIENT: Final = "client"
"""The load's own CPU, which is no part of an operation's."""

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="intake, consumer, routing, history, chain, latency, isolation, growth, start; "
        "without: all"
    ),
]
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def measure_speed(
    names: Names = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A short time, for a look only")] = False,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too")] = None,
) -> None:
    """Measure speed beside the peers, on stacks of its own, and show a table."""
    with interruptible():
        run_benches(names or (), quick=quick, file=file)


def run_benches(names: Sequence[str], *, quick: bool, file: Path | None) -> dict[str, Any]:
    """Run benches (all without names), show how it goes and a table; return what was measured.

    Args:
        names: which benches.
        quick: a shorter time, for a look only.
        file: where the same is written as JSON.

    Raises:
        StackError: a bench failed, or there is none of this name; nothing is left running.
        Interrupted: asked to end; likewise.

    """
    if not (ROOT / "tests" / "bench").is_dir():
        message = "the benches are part of the source tree, not of this installation"
        raise StackError(message)
    if file is not None and not file.parent.is_dir():
        message = f"there is no folder {file.parent}"
        raise StackError(message)
    folder = Path(tempfile.mkdtemp(prefix="pashe-bench-"))
    try:
        result = _measure(names, quick=quick, folder=folder)
    finally:
        for name in STACKS:
            control.stop_stack(Home(folder / name))
        shutil.rmtree(folder, ignore_errors=True)
    show(result)
    if file is not None:
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return result


def _measure(names: Sequence[str], *, quick: bool, folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": {}, "quick": quick, "figures": []}
    failure = ""
    log = folder / "bench.log"
    with _process(names, quick=quick, folder=folder, log=log) as process, _Screen() as shown:
        for line in process.stdout or ():
            event = json.loads(line)
            match event["event"]:
                case "machine":
                    result["machine"] = event["machine"]
                case "figure":
                    result["figures"].append(event["figure"])
                case "failed":
                    failure = event["text"]
                case _:
                    shown.handle(event)
        code = process.wait()
    if code:
        message = failure or f"the benches ended with exit code {code}"
        raise StackError(message, tail_of(log))
    return result


@contextmanager
def _process(
    names: Sequence[str], *, quick: bool, folder: Path, log: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run the benches in a session of their own, so that only we tell them to end, once."""
    argv = [sys.executable, "-m", "tests.bench", *names, "--folder", str(folder)]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PASHE_TEST_")}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*argv, "--quick"] if quick else argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
            if process.stdout is not None:
                process.stdout.close()


@dataclass(slots=True)
class _Screen:
    """Shows how the benches go: bars on a terminal, one line a bench elsewhere."""

    _bars: dict[str, TaskID] = field(default_factory=dict)
    _progress: Progress = field(init=False)

    def __enter__(self) -> Self:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[text]}[/dim]"),
            console=console,
        )
        if console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if console.is_terminal:
            self._progress.stop()

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if event["event"] == "start":
            console.print(f"Starting {event['text']} …", markup=False, highlight=False)
            return
        name = event["bench"]
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=None, text="")
            if not console.is_terminal:
                console.print(f"Measuring {name} …", markup=False, highlight=False)
        self._progress.update(
            self._bars[name],
            completed=event["done"],
            total=event["total"],
            text=event["text"],
        )


def show(result: dict[str, Any]) -> None:
    """Print the table, its notes, and what it was measured on."""
    table = Table(show_lines=True)
    for name in ("what", "ours", "peer", "ratio", "CPU µs an operation", "floor (aim)", "met"):
        table.add_column(name, justify="left" if name == "what" else "right", overflow="fold")
    for figure in result["figures"]:
        table.add_row(*_row(figure))
    console.print(table)
    told: set[str] = set()
    for figure in result["figures"]:
        for note in figure.get("notes", ()):
            line = f"{figure['bench']}: {note}"
            if line not in told:
                told.add(line)
                console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    found = result["machine"]
    memory = f"{found['cores']} cores, {found['memory_gb']} GB"
    load = " ".join(map(str, found["load"]))
    for line in (
        f"{found['cpu']}, {memory}, load before {load}, Linux {found['kernel']}",
        f"Python {found['python']}, PostgreSQL {found['postgresql']}, Kafka {found['kafka']},"
        f" {found['date']}" + (", --quick: for a look only" if result["quick"] else ""),
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _row(figure: dict[str, Any]) -> tuple[str, ...]:
    unit, peer, ratio = figure["unit"], figure.get("peer"), figure.get("ratio")
    spread = ""
    if ratio is not None:
        middle, least, most = ratio
        spread = f"{middle:.2f}" if least == most else f"{middle:.2f} [{least:.2f}–{most:.2f}]"
    return (
        figure["what"],
        f"{_number(figure['ours'])} {unit}",
        "" if peer is None else f"{_number(peer)} {figure.get('peer_is', '')}",
        spread,
        _cpu(figure.get("cpu", {}), figure.get("peer_cpu", {})),
        _bounds(figure),
        _met(figure),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004  (three digits)


def _cpu(ours: dict[str, float], peers: dict[str, float]) -> str:
    """Render microseconds by process, ours and the peer's."""
    words = []
    for name, value in ours.items():
        if name != CLIENT:
            beside = f" : {peers[name]:.0f}" if name in peers else ""
            words.append(f"{name} {value:.0f}{beside}")
    return "\n".join(words)


def _bounds(figure: dict[str, Any]) -> str:
    floor, aim = figure.get("floor"), figure.get("ambitious")
    if floor is None:
        return ""
    sign = "≥" if figure.get("least", True) else "≤"
    return f"{sign} {floor:g}" + (f" ({aim:g})" if aim is not None else "")


def _met(figure: dict[str, Any]) -> str:
    if figure["floor_met"] is None:
        return ""
    if figure["ambitious_met"]:
        return "[green]yes, and the aim[/green]"
    return "[green]yes[/green]" if figure["floor_met"] else "[red]no[/red]"
