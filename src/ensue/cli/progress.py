"""How far the work is, on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ensue.cli import terminal
from ensue.progress import Progress, Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import TaskID

EVERY_S = 30.0
"""Where there is no terminal, a line says how far the work is after each such while."""


def shown() -> Progress:
    """Bars if standard error is a terminal that takes them, plain lines if not, or if NO_COLOR is set."""
    return Lines() if terminal.simple() or not sys.stderr.isatty() else Bars()


class Lines:
    """Plain lines: one when a piece of work begins, now and then while it goes on, and one at its end."""

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """A task that says a line at its begin and at its end."""
        self.say(f"{name} ...")
        task = _Line(name, total)
        yield task
        self.say(task.text("done"))

    def say(self, text: str) -> None:
        """A line."""
        terminal.note(text)


class _Line:
    """One piece of work told in lines."""

    def __init__(self, name: str, total: float) -> None:
        self.name, self.total = name, total
        self.done, self.note = 0.0, ""
        self.began = self.told = time.monotonic()

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Counts, and says a line when the last one was long ago."""
        self.done += amount
        self.note = note or self.note
        if time.monotonic() - self.told > EVERY_S:
            self.told = time.monotonic()
            terminal.note(self.text(f"{self.done / max(self.total, 1e-9):.0%}"))

    def text(self, state: str) -> str:
        """The line."""
        spent = f"{self.name}: {state} after {time.monotonic() - self.began:.1f} s"
        return f"{spent} ({self.note})" if self.note else spent


class Bars:
    """Bars with the rate and the time left; lines that are said appear above them."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        self.display: Display | None = None
        self.depth = 0

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        """A bar, which stays when the work is done; tasks may be nested."""
        display = self.display or _display(self.console)
        if self.depth == 0:
            self.display = display
            display.start()
        self.depth += 1
        bar = _Bar(display, display.add_task(terminal.plain(name), total=total, note=""))
        try:
            yield bar
            bar.end()
        finally:
            self.depth -= 1
            if self.depth == 0:
                display.stop()
                self.display = None

    def say(self, text: str) -> None:
        """A line above the bars."""
        if self.display is None:
            terminal.note(text)
        else:
            self.display.console.print(terminal.plain(text), style="dim")


class _Bar:
    """One bar."""

    def __init__(self, display: Display, task: TaskID) -> None:
        self.display, self.task = display, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Moves the bar."""
        if note:
            self.display.update(self.task, advance=amount, note=terminal.plain(note))
        else:
            self.display.advance(self.task, amount)

    def end(self) -> None:
        """Fills the bar: work that stopped early, since nothing improved, is done too."""
        for task in self.display.tasks:
            if task.id == self.task:
                self.display.update(self.task, total=task.completed or 1, completed=task.completed or 1)


def _display(console: Console) -> Display:
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Display
    from rich.progress import Task as Row
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps done in a second."""

        def render(self, task: Row) -> Text:
            whole = task.completed / task.elapsed if task.finished and task.elapsed else None
            speed = whole or task.speed
            return Text(f"{speed:,.{0 if speed >= 10 else 1}f}/s" if speed else "", justify="right")

    return Display(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )
