"""What the command line shows while the stack starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import TaskID

MEGABYTE: Final = 1_000_000


class Screen:
    """Shows the events of a start: a live list on a terminal, one line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        """Take where to show it."""
        self._console = console
        self._live = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._texts: dict[str, str] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[note]}[/dim]"),
            console=console,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave what was shown on the screen."""
        if self._live:
            self._progress.stop()

    def handle(self, event: dict[str, Any]) -> None:
        """Show one event of the supervisor."""
        match event["event"]:
            case "begin":
                self._begin(event["step"], event["text"])
            case "amount":
                self._amount(event["step"], event["done"], event["total"])
            case "end":
                self._end(event["step"], event["seconds"])
            case "note":
                self._console.print(event["text"], markup=False, highlight=False)

    def _begin(self, step: str, text: str) -> None:
        self._texts[step] = text
        if self._live:
            self._tasks[step] = self._progress.add_task(text, total=None, note="")

    def _amount(self, step: str, done: int, total: int) -> None:
        if self._live:
            note = f"{done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"
            self._progress.update(self._tasks[step], completed=done, total=total + 1, note=note)

    def _end(self, step: str, seconds: float) -> None:
        if self._live:
            note = f"{seconds:.1f} s"
            self._progress.update(self._tasks[step], completed=1, total=1, note=note)
        else:
            line = f"{self._texts[step]}: {seconds:.1f} s"
            self._console.print(line, markup=False, highlight=False)
