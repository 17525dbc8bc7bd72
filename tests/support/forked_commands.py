"""Commands in processes of their own that need not import TensorFlow again.

One process imports what commands import and answers none itself; every command is a fork of it,
with its own memory, working directory, output, exit code, and an end by SIGKILL if a test wants
one. What the interpreter does before `main` is tested where `python -m efn_compose` is started.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["tensorflow", "keras", "efn_compose.jobs.search.job", "efn_compose.jobs.trainings.job"]
)
PATIENCE = 600


def _be(
    work: Callable[..., object],
    arguments: tuple[Any, ...],
    folder: str,
    outputs: tuple[str, str],
    environment: dict[str, str],
) -> None:
    for path, descriptor in zip(outputs, (1, 2), strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ.update(environment)
    try:
        sys.exit(work(*arguments))
    finally:
        # A fork ends without them.
        atexit._run_exitfuncs()


def _main(arguments: list[str]) -> int:
    from efn_compose.cli import main

    sys.argv = ["efn-compose", *arguments]
    return main(arguments)


class Forked:
    """A function that runs in a process of its own.

    Args:
        work: Of a module that a new process can import; returns the exit code, None for 0.
        arguments: Of the function.
        folder: Working directory.
    """

    def __init__(
        self, work: Callable[..., object], *arguments: object, folder: Path | str = "."
    ) -> None:
        self._kept = tempfile.TemporaryDirectory(prefix="forked")
        self.outputs = tuple(Path(self._kept.name) / name for name in ("out", "err"))
        for path in self.outputs:
            path.touch()
        paths, place = tuple(map(str, self.outputs)), str(Path(folder).resolve())
        self.process: ForkServerProcess = _FORKS.Process(
            target=_be, args=(work, arguments, place, paths, dict(os.environ))
        )
        self.process.start()

    def kill(self) -> "subprocess.CompletedProcess[str]":
        """End it as a power cut would; return what it had said."""
        self.process.kill()
        return self.result()

    def result(self) -> "subprocess.CompletedProcess[str]":
        """Wait for its end; return the exit code and what it said."""
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            raise TimeoutError(f"No end after {PATIENCE} s: {self.kill().stderr[-2000:]}")
        said = [path.read_text() for path in self.outputs]
        self._kept.cleanup()
        return subprocess.CompletedProcess([], self.process.exitcode, *said)


def start_command(*arguments: object, folder: Path | str = ".") -> Forked:
    """Start `efn-compose ARGUMENTS` and return it running."""
    return Forked(_main, [str(argument) for argument in arguments], folder=folder)


def run_command(*arguments: object, folder: Path | str = ".") -> "subprocess.CompletedProcess[str]":
    """Run `efn-compose ARGUMENTS` to its end."""
    return start_command(*arguments, folder=folder).result()
