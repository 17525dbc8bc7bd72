"""Workers on cores, GPUs, TPUs or a cluster, through Ray.

Data and seats go into the object store once per node and are read there without
copying; tasks travel, weights do not. Workers come and go: a dead one is replaced,
and where their number is left open new nodes get workers as they join. A node whose
workers fail where others do not gets no tasks (`node_trust.py`).
"""

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from efn_compose.errors import RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.executors.members import Member, Running
from efn_compose.evolve.workers.executors.memory_growth import MemoryGrowth
from efn_compose.evolve.workers.executors.node_trust import Asked, NodeTrust
from efn_compose.evolve.workers.executors.ray_session import (
    actor_options,
    choose_device,
    last_line,
    start_ray,
    try_ray_out,
    words,
    worker_count,
)
from efn_compose.evolve.workers.executors.ray_worker import StoredSeat, WorkerProcess
from efn_compose.evolve.workers.executors.time_limit import TimeLimit
from efn_compose.evolve.workers.executors.worker_check import (
    describe_mismatch,
    describe_process,
    differences,
)
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Setup

#: The first task of a worker also builds and traces the network.
_START_SECONDS = 600.0
#: What an idle worker may take to end by itself.
_END_SECONDS = 5.0
#: How often the cluster is looked at for nodes that joined or left.
_LOOK_SECONDS = 5.0
#: Workers that die in a row before any of them stands up: starting more is pointless.
_MOST_START_FAILURES = 5


class RayExecutor:
    """Answers tasks on Ray actors; a dead worker is replaced and its task asked again.

    Args:
        setup: Makes the worker of each process; put in the object store once.
        data: What the workers work on; put in the object store once.
        options: Workers, device, address, retries, limits.
        note: Called with messages for people; a warning by default.
        most: No more workers than that are started; None: no such bound.

    Raises:
        RunError: Ray cannot be reached, or offers none of the devices asked for.

    Example:
        >>> executor = RayExecutor(setup, data, ExecutorOptions(workers=2))  # doctest: +SKIP
    """

    def __init__(
        self,
        setup: Setup,
        data: Any,
        options: ExecutorOptions,
        note: Callable[[str], None] | None = None,
        most: int | None = None,
    ) -> None:
        self.note = note or (lambda text: warnings.warn(text, stacklevel=3))
        self._options, self._most = options, most
        self._owns_ray = start_ray(options)
        import ray

        self._ray = ray
        resources = ray.cluster_resources()
        kind = choose_device(options.device, resources)
        self.device = kind
        self._device = Device(kind, options.gpu_memory_mb)
        self._actor_options = actor_options(kind, options)
        self._ours = describe_process()
        self._data = ray.put(data)
        self._setup = ray.put(setup)
        self._stored: StoredSeat | None = None
        self._limit = TimeLimit(options.patience)
        self._members: dict[int, Member] = {}
        self._hellos: dict[Any, int] = {}
        self._idle: deque[int] = deque()
        self._start_failures = self._given_up = self._wanted = 0
        # By way of the attribute, which others set later.
        self._trust = NodeTrust(lambda text: self.note(text))
        self._growth = MemoryGrowth(options.memory_limit_mb, lambda text: self.note(text))
        self._looked = self._born = time.monotonic()
        self._has_stood = False
        self._top_up(resources)

    @staticmethod
    def try_out() -> str:
        """Start Ray as a run does, let it answer once, and say what it offers.

        Raises:
            RunError: Ray cannot be started, or gives no right answer in time.
        """
        return try_ray_out()

    @property
    def workers(self) -> int:
        """Number of workers, those included that wait for a place."""
        return len(self._members)

    def run(self, tasks: Iterable[Task], seat: Seat | None = None) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in the order they finish.

        Args:
            tasks: Taken one by one, whenever a worker is free.
            seat: What their donor numbers mean; None for tasks that number no donors.
        """
        stored: StoredSeat | None = None
        source = enumerate(tasks)
        again: deque[Asked] = deque()
        running: dict[Any, Running] = {}
        is_drained = False
        self._trust.begin()

        def chosen() -> tuple[Asked, int] | None:
            """Return the next task for a free worker; None where no task and worker go together."""
            nonlocal is_drained
            for place, asked in enumerate(again):
                if (number := self._free_for(asked)) is not None:
                    del again[place]
                    return asked, number
            if is_drained or (number := self._free_for(None)) is None:
                return None
            found = next(source, None)
            is_drained = found is None
            return None if found is None else (Asked(*found), number)

        self._top_up(self._ray.cluster_resources())
        try:
            while True:
                while (found := chosen()) is not None:
                    asked, number = found
                    if seat is not None and stored is None:
                        stored = self._store(seat)
                    self._idle.remove(number)
                    reference = self._members[number].actor.answer.remote(asked.task, stored)
                    running[reference] = Running(asked, number, time.monotonic())
                # With everybody busy, or nobody there yet, more may be wanted: only a look tells.
                if is_drained and not running and not again:
                    return
                done = self._wait([*running, *self._hellos])
                for reference in [r for r in done if r in self._hellos]:
                    self._greet(reference)
                for reference in self._hanging(running, done):
                    one = running.pop(reference)
                    yield from self._settle(one, None, again)
                for reference in [r for r in done if r in running]:
                    one = running.pop(reference)
                    yield from self._settle(one, reference, again)
                self._look_around()
        finally:
            # Left before the end: what still runs would keep its worker from the next tasks.
            for one in running.values():
                self._drop(one.number)

    def close(self) -> None:
        """Stop all workers, and Ray if this executor started it."""
        # Idle ones end by themselves, so that TensorFlow removes its temporary files.
        ending = [self._members[n].actor.__ray_terminate__.remote() for n in self._idle]
        if ending and self._ray.is_initialized():
            self._ray.wait(ending, num_returns=len(ending), timeout=_END_SECONDS)
        for member in self._members.values():
            self._ray.kill(member.actor)
        self._members, self._idle = {}, deque()
        if self._owns_ray and self._ray.is_initialized():
            self._ray.shutdown()

    def _store(self, seat: Seat) -> StoredSeat:
        """Return a seat in the object store; only the latest is kept there."""
        if self._stored is None or self._stored.fingerprint != seat.fingerprint:
            # Let go first: the store need not hold both.
            self._stored = None
            whole = Seat(seat.space, [dict(donor) for donor in seat.donors])
            self._stored = StoredSeat(seat.fingerprint, self._ray.put(whole))
        return self._stored

    def _wait(self, references: list[Any]) -> list[Any]:
        if not references:
            time.sleep(0.2)
            return []
        done, rest = self._ray.wait(references, num_returns=1, timeout=1.0)
        if done and rest:
            done += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return done

    def _settle(
        self, one: Running, reference: Any, again: deque[Asked]
    ) -> Iterator[tuple[int, Outcome]]:
        """Take the result of a task: an answer, or another attempt."""
        outcome, reason = self._collect(one, reference)
        asked, member, nodes = one.asked, self._members[one.number], self._nodes()
        repeated: Asked | None = None
        if outcome is None:
            self._replace(one.number)
            if asked.deaths < self._options.retries:
                again.append(self._trust.died(asked, member.node, reason, nodes))
                return
            self._trust.close(asked)
            outcome = Outcome(None, f"{reason}, {asked.deaths + 1} times", one.number, 0.0)
        else:
            first_mb = member.first_mb = member.first_mb or outcome.memory_mb
            if self._growth.is_too_much(first_mb, outcome.memory_mb):
                self._replace(one.number)
            else:
                self._idle.append(one.number)
            if outcome.error is None:
                self._limit.take(asked.task.pace, outcome.seconds)
                self._trust.answered(asked, member.node, nodes)
            elif member.is_good:
                # It works: the failure is the task's.
                self._trust.close(asked)
            else:
                repeated = self._trust.doubted(asked, member.node, outcome, nodes)
            member.is_warm, member.is_good = True, outcome.error is None
        if repeated is not None:
            again.append(repeated)
        else:
            yield asked.position, replace(outcome, attempts=asked.attempt)

    def _nodes(self) -> set[str]:
        """Return the nodes that have workers."""
        return {member.node for member in self._members.values() if member.is_known}

    def _free_for(self, asked: Asked | None) -> int | None:
        """Return the first free worker on a node that may take a task; None for a new task."""
        nodes = self._nodes() if self._idle else set()
        return next(
            (n for n in self._idle if self._trust.may_take(self._members[n].node, asked, nodes)),
            None,
        )

    def _collect(self, one: Running, reference: Any) -> tuple[Outcome | None, str]:
        """Return the outcome, or None and why there is none."""
        if reference is None:
            return (
                None,
                f"no answer within {self._allowed(one):.0f} s (see executor.patience), worker killed",
            )
        try:
            return self._ray.get(reference), ""
        except self._ray.exceptions.RayError as error:
            return None, f"worker died ({type(error).__name__}: {last_line(error)})"

    def _allowed(self, one: Running) -> float:
        task, attempt = one.asked.task, one.asked.deaths + 1
        limit = self._limit.seconds(task.pace, attempt) if task.is_limited else math.inf
        member = self._members[one.number]
        return limit if member.is_warm else limit + _START_SECONDS

    def _hanging(self, running: dict[Any, Running], done: list[Any]) -> list[Any]:
        """Return the references of tasks that exceed their time."""
        now = time.monotonic()
        return [
            reference
            for reference, one in running.items()
            if reference not in done and now - one.since > self._allowed(one)
        ]

    def _start(self) -> None:
        """Ask for one more worker; it counts once it has said hello."""
        number = next(n for n in range(len(self._members) + 1) if n not in self._members)
        actor: Any = self._ray.remote(WorkerProcess).options(**self._actor_options).remote(number)
        self._members[number] = Member(actor, time.monotonic())
        self._hellos[actor.hello.remote()] = number

    def _greet(self, reference: Any) -> None:
        """Take a new worker in once it runs what we run.

        Raises:
            RunError: It runs something else, or workers cannot start at all.
        """
        number = self._hellos.pop(reference)
        try:
            theirs = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._start_failures += 1
            is_hopeless = self._start_failures >= _MOST_START_FAILURES
            if "ModuleNotFoundError" in str(error) or (is_hopeless and not self._nodes()):
                raise RunError(
                    f"A worker cannot start: {last_line(error)}. Is the same efn_compose "
                    "installed on every node? Nothing is lost: mend it and resume the run."
                ) from None
            if is_hopeless:
                self._give_up(number, last_line(error))
            else:
                self._replace(number)
            return
        found = differences(self._ours, theirs)
        if found:
            raise RunError(describe_mismatch(theirs.get("host", "another node"), found))
        self._start_failures = 0
        member = self._members[number]
        member.is_known = self._has_stood = True
        member.node = theirs["node"]
        member.actor.begin.remote(self._setup, self._data, self._device)
        self._idle.append(number)

    def _give_up(self, number: int, reason: str) -> None:
        """Go on without a worker that dies wherever it is started; other nodes have room for no more."""
        self._drop(number)
        self._start_failures = 0
        if not self._given_up:
            self.note(
                f"A worker died {_MOST_START_FAILURES} times as it started ({reason}). "
                "The run goes on with the others, until nodes join or leave."
            )
        self._given_up += 1

    def _replace(self, number: int) -> None:
        self._drop(number)
        self._start()

    def _drop(self, number: int) -> None:
        self._ray.kill(self._members.pop(number).actor)
        self._idle = deque(other for other in self._idle if other != number)
        self._hellos = {r: other for r, other in self._hellos.items() if other != number}

    def _look_around(self) -> None:
        """Follow nodes that join or leave, and say which workers find no place.

        Raises:
            RunError: No worker at all found a place in time.
        """
        now = time.monotonic()
        if now - self._looked < min(_LOOK_SECONDS, self._options.patience / 10):
            return
        self._looked = now
        resources = self._ray.cluster_resources()
        self._top_up(resources)
        overdue = [
            member
            for member in self._members.values()
            if not member.is_known and now - member.since > self._options.patience / 10
        ]
        if not overdue:
            return
        text = (
            f"{len(overdue)} of {len(self._members)} workers wait for a place. Each needs "
            f"{words(self._needs())}; Ray has {words(resources)}, free now "
            f"{words(self._ray.available_resources())}."
        )
        if not self._has_stood and now - self._born > self._options.patience:
            raise RunError(
                f"{text} No worker could be placed within {self._options.patience:g} s. "
                "Stop what holds the cluster (ray status shows it), add nodes, or ask for fewer "
                "workers: --set executor.workers=1."
            )
        if not all(member.is_reported for member in overdue):
            self.note(f"{text} The run goes on with the others and takes these when there is room.")
        for member in overdue:
            member.is_reported = True

    def _top_up(self, resources: dict[str, float]) -> None:
        """Start or end workers until there are enough; workers that wait for a place end first."""
        wanted = worker_count(self._options, self._device.kind, resources, self._most)
        if wanted != self._wanted:
            self._wanted, self._given_up = wanted, 0
        wanted -= self._given_up
        for _ in range(wanted - len(self._members)):
            self._start()
        waiting = [n for n, member in self._members.items() if not member.is_known]
        for number in waiting[: max(0, len(self._members) - wanted)]:
            self._drop(number)

    def _needs(self) -> dict[str, float]:
        names = {"num_cpus": "CPU", "num_gpus": "GPU"}
        plain = {names[k]: v for k, v in self._actor_options.items() if k in names}
        return plain | self._actor_options.get("resources", {})
