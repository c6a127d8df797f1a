"""What a person sees while `signalbox up` works: a line per step, with its time, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Steps:
    """Shows steps, several at once where they run at once; plain lines where stderr is no terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=self.console, transient=True
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._progress.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing that moves while the block asks a person."""
        if not self.console.is_terminal:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show a step while the block runs, then its time.

        Args:
            title: What is being done.
        """
        task: TaskID = self._progress.add_task(title)
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._progress.remove_task(task)
            self.console.print(f"[red]✗[/] {title}")
            raise
        self._progress.remove_task(task)
        self.console.print(f"[green]✓[/] {title} [dim]{time.monotonic() - started:.1f} s[/]")

    def nothing_new(self, title: str) -> None:
        """Show a step that has nothing to do.

        Args:
            title: What is not done again.
        """
        self.console.print(f"[green]✓[/] {title} [dim]nothing new[/]")
