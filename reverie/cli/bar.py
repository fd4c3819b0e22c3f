"""What a run looks like in a terminal: a bar with loss, speed and time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from reverie.training.loop import Progress as Update

EVERY = 0.2  # seconds between redraws
LINES = 15.0  # seconds between plain lines


class Terminal:
    """A `View` of a run."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=False, highlight=False, soft_wrap=True)
        self.quiet, self.batch = quiet, 1
        self.bar: Progress | None = None
        self.task: int | None = None
        self.drawn, self.lined = 0.0, time.monotonic()
        self.level: Tensor | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pause()

    def say(self, line: str) -> None:
        if not self.quiet or line.startswith(("done", "written", "try", "stopped")):
            self.console.print(line, markup=False)

    def warn(self, line: str) -> None:
        self.console.print(f"warning: {line}", style="yellow", markup=False)

    def table(self, rows: list[tuple[str, str]]) -> None:
        if self.quiet:
            return
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(f"[bold]{name}[/]", value)
        self.console.print(table)

    def update(self, progress: Update, planned: int | None, seconds: float) -> None:
        """After every update; `seconds` is what one takes at present."""
        share = 0.02
        loss = progress.seen[0]  # read only when it is shown
        self.level = loss if self.level is None else (1 - share) * self.level + share * loss
        now = time.monotonic()
        if self.quiet:
            return
        if not self.console.is_terminal:
            self._line(progress, planned, seconds, now)
        elif now - self.drawn > EVERY:
            self._draw(progress, planned, seconds)
            self.drawn = now

    def _line(self, progress: Update, planned: int | None, seconds: float, now: float) -> None:
        if now - self.lined < LINES:
            return
        self.lined = now
        left = f", {(planned - progress.step) * seconds / 60:.1f} min left" if planned else ""
        speed = f"{self.batch / seconds:,.0f} examples/s"
        print(f"update {progress.step} of {planned or '?'}: loss {self.level:.4f}, {speed}{left}", flush=True)

    def _draw(self, progress: Update, planned: int | None, seconds: float) -> None:
        if self.bar is None:
            self.bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} examples/s "),
                TimeRemainingColumn(elapsed_when_finished=True),
                TextColumn("left"),
                console=self.console,
                transient=True,
                refresh_per_second=5,
            )
            self.task = self.bar.add_task("training", total=None, loss=0.0, rate=0.0)
            self.bar.start()
        assert self.task is not None
        assert self.level is not None
        shown = {"loss": float(self.level), "rate": self.batch / seconds}
        self.bar.update(self.task, total=planned, completed=progress.step, **shown)  # type: ignore[arg-type]

    def pause(self) -> None:
        """Take the bar away while something else is printed or drawn."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class counting:
    """A bar over `total` things that shows itself after two seconds, plain lines where there is no terminal.

    The callback takes the number done.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.began = what, total, time.monotonic()
        self.bar: Progress | None = None
        self.lined = self.began

    def __enter__(self) -> Callable[[int], None]:
        return self._done

    def _done(self, done: int) -> None:
        now = time.monotonic()
        late = now - self.began > 2 and done < self.total
        if not sys.stderr.isatty() and done and done < self.total and now - self.lined > LINES:
            self.lined, left = now, (now - self.began) * (self.total - done) / done
            print(f"{self.what}: {done} of {self.total}, {left / 60:.1f} min left", file=sys.stderr, flush=True)
        if self.bar is None and late and sys.stderr.isatty():
            columns = (
                TextColumn(self.what),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(self.what, total=self.total)
            self.bar.start()
        if self.bar is not None:
            self.bar.update(self.task, completed=done)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
