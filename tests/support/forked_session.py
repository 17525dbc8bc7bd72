"""Several processes for one run of pytest, forked from the process that has collected the tests.

To collect is to import TensorFlow, PyTorch and a thousand files: nine seconds of a processor. A fork has all
of it at once, and shares the memory.
"""

import atexit
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest
from _pytest.reports import TestReport

#: How many seconds a process has for its end after its last test.
PATIENCE = 60


def run_forked(session: pytest.Session, number: int, scope: Callable[[str], str]) -> None:
    """Run a session's tests in forks of this process.

    Args:
        session: Whose items are collected.
        number: Of processes.
        scope: Of a test's id, what one process runs whole.

    Raises:
        pytest.Session.Failed: As many tests failed as `--maxfail` allows.
    """
    config: Any = session.config
    numbers: dict[str, list[int]] = {}
    for number_of_item, item in enumerate(session.items):
        numbers.setdefault(scope(item.nodeid), []).append(number_of_item)
    scopes = iter(numbers.values())
    # Reports of different files alternate: each without the name of its file.
    config.pluginmanager.getplugin("terminalreporter").showfspath = False
    # Made once, and not by each fork.
    config._tmp_path_factory.getbasetemp()
    forks = [_Fork(session, place) for place in range(number)]
    try:
        while working := [fork for fork in forks if not fork.ended]:
            for connection in wait([fork.connection for fork in working]):
                fork = next(fork for fork in working if fork.connection is connection)
                fork.hear(scopes)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if fork.died:
                    forks.append(_Fork(session, len(forks)))
    finally:
        for fork in forks:
            fork.close()


class _Fork:
    """A process that runs scopes, as the process that forked it sees it."""

    def __init__(self, session: pytest.Session, place: int) -> None:
        self.session, self.ended, self.died = session, False, False
        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(session, place, other))
        self.process.start()
        other.close()
        #: By number, what it was given and has not reported the end of.
        self._left: dict[str, int] = {}

    def hear(self, scopes: Iterator[list[int]]) -> None:
        """Take one message: a hook to be called here as it was there, or a wish for more work."""
        try:
            name, values = self.connection.recv()
        except EOFError:
            self._end()
            return
        if name == "more":
            numbers = next(scopes, [])
            self._left |= {self.session.items[number].nodeid: number for number in numbers}
            # One that died meanwhile says nothing more, and that is heard next.
            with suppress(BrokenPipeError):
                self.connection.send(numbers)
        elif name == "pytest_runtest_logreport":
            hook, config = self.session.config.hook, self.session.config
            report = hook.pytest_report_from_serializable(config=config, data=values["report"])
            hook.pytest_runtest_logreport(report=report)
        elif name == "pytest_warning_recorded":
            self.session.config.hook.pytest_warning_recorded.call_historic(kwargs=values)
        else:
            if name == "pytest_runtest_logfinish":
                self._left.pop(values["nodeid"], None)
            getattr(self.session.config.hook, name)(**values)

    def _end(self) -> None:
        """Let each test fail that the process died before; the first is the one that it died of."""
        self.ended, self.died = True, bool(self._left)
        self.close()
        for number in self._left.values():
            item = self.session.items[number]
            self.session.config.hook.pytest_runtest_logreport(
                report=TestReport(
                    nodeid=item.nodeid,
                    location=item.location,
                    keywords={},
                    outcome="failed",
                    longrepr=f"Its process ended before it, with exit code {self.process.exitcode}.",
                    when="call",
                )
            )

    def close(self) -> None:
        """End the process, at once if it has not come to its own end."""
        if not self.ended:
            self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.connection.close()
        self.ended = True


def _serve(session: pytest.Session, place: int, connection: Connection) -> None:
    """Run what is handed out until nothing is left."""
    config: Any = session.config
    # What was registered before the fork is for the process that it was registered in.
    atexit._clear()
    capture = config.pluginmanager.getplugin("capturemanager")
    # The files that output is caught in are still those of all.
    capture.stop_global_capturing()
    if config.option.capture != "no":
        # Between tests Ray tells of the workers that tests killed.
        _fall_silent()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    config.pluginmanager.unregister(config.pluginmanager.getplugin("terminalreporter"))
    config.pluginmanager.register(_Teller(config, connection))
    factory = config._tmp_path_factory
    factory._basetemp = factory.getbasetemp() / f"process{place}"
    factory._basetemp.mkdir(mode=0o700)

    def handed_out() -> Iterator[pytest.Item]:
        while True:
            connection.send(("more", {}))
            numbers = connection.recv()
            if not numbers:
                return
            yield from (session.items[number] for number in numbers)

    try:
        items = handed_out()
        item = next(items, None)
        while item is not None:
            # Known before the test runs: it says which fixtures stay.
            following = next(items, None)
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            item = following
    finally:
        # A fork ends without them.
        atexit._run_exitfuncs()


def _fall_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


class _Teller:
    """Tells the first process what reporters there must know."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection, self._running = config, connection, ""

    def _tell(self, name: str, **values: Any) -> None:
        self._connection.send((name, values))

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._running = nodeid
        self._tell("pytest_runtest_logstart", nodeid=nodeid, location=location)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._tell("pytest_runtest_logfinish", nodeid=nodeid, location=location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._tell("pytest_runtest_logreport", report=data)

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: Any, nodeid: str, location: Any
    ) -> None:
        # pytest repeats earlier warnings to whoever joins it.
        if nodeid != self._running:
            return
        # As text: a class of warnings need not survive being sent.
        said = UserWarning(f"{warning_message.category.__name__}: {warning_message.message}")
        place = warning_message.filename, warning_message.lineno
        self._tell(
            "pytest_warning_recorded",
            warning_message=warnings.WarningMessage(said, UserWarning, *place),
            when=when,
            nodeid=nodeid,
            location=location,
        )
