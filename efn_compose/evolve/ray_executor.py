"""Workers on cores, GPUs, TPUs or a cluster, through Ray; the only file that imports it.

Donors and data go into the object store once per node and are read there
without copying; tasks travel, weights do not.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from efn_compose.compose import GenomeSpace
from efn_compose.compose.compose import Tensors
from efn_compose.data import DataSet
from efn_compose.errors import RunError
from efn_compose.evolve.executor import answer
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.tasks import Outcome, Task

#: The first task of a worker also builds and traces the network.
_START_SECONDS = 600.0


class _Worker:
    """The actor: one evaluator for its whole life."""

    def __init__(self, number: int, setup: Any, data: DataSet) -> None:
        from efn_compose.evolve.devices import prepare_device
        from efn_compose.evolve.evaluator import Evaluator

        prepare_device(setup.device, setup.threads)
        self._number = number
        self._evaluator = Evaluator(setup, data)

    def set_donors(self, space: GenomeSpace, donors: Sequence[Tensors]) -> None:
        self._evaluator.set_donors(space, donors)

    def answer(self, task: Task) -> Outcome:
        return answer(self._evaluator, task, self._number)


class RayExecutor:
    """Answers tasks on Ray actors; a dead worker is replaced and its task asked again.

    Args:
        setup: Conventions, fitness and threads; a `WorkerSetup`.
        data: Images and labels; put in the object store once.
        options: Workers, device, address, retries, limits.

    Raises:
        RunError: Ray cannot be reached, or offers none of the devices asked for.

    Example:
        >>> executor = RayExecutor(setup, data, ExecutorOptions(workers=2))  # doctest: +SKIP
    """

    def __init__(self, setup: Any, data: DataSet, options: ExecutorOptions) -> None:
        import ray

        self._ray, self._options = ray, options
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            _start_ray(options)
        resources = ray.cluster_resources()
        device = _choose_device(options.device, resources)
        self._setup = replace(setup, device=device)
        self.workers = _worker_count(options, device, resources)
        self._actor_options = _actor_options(device)
        self._data = ray.put(data)
        self._donors: tuple[Any, Any] | None = None
        self._actors = {number: self._start(number) for number in range(self.workers)}
        self._fresh = set(self._actors)

    def set_donors(self, space: GenomeSpace, donors: Sequence[Tensors]) -> None:
        """Put the donors in the object store and give all workers the reference."""
        backbone = [dict(donor) for donor in donors]
        self._donors = (space, self._ray.put(backbone))
        for actor in self._actors.values():
            actor.set_donors.remote(*self._donors)

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in the order they finish."""
        waiting = deque((position, 1) for position in range(len(tasks)))
        running: dict[Any, tuple[int, int, int, float]] = {}
        idle = deque(self._actors)
        answered = 0
        while answered < len(tasks):
            while idle and waiting:
                number, (position, attempt) = idle.popleft(), waiting.popleft()
                reference = self._actors[number].answer.remote(tasks[position])
                running[reference] = (position, attempt, number, time.monotonic())
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=1.0)
            for reference in [*done, *self._hanging(running, done)]:
                position, attempt, number, _ = running.pop(reference)
                outcome, reason = self._collect(reference, reference in done)
                if outcome is not None:
                    self._fresh.discard(number)
                    if 0 < self._options.memory_limit_mb < outcome.memory_mb:
                        self._replace(number)
                else:
                    self._replace(number)
                    if attempt <= self._options.retries:
                        waiting.appendleft((position, attempt + 1))
                    else:
                        outcome = Outcome(None, f"{reason}, {attempt} times", number, 0.0)
                idle.append(number)
                if outcome is not None:
                    answered += 1
                    yield position, replace(outcome, attempts=attempt)

    def close(self) -> None:
        """Stop all workers, and Ray if this executor started it."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors = {}
        if self._owns_ray and self._ray.is_initialized():
            self._ray.shutdown()

    def _start(self, number: int) -> Any:
        actor = (
            self._ray.remote(_Worker)
            .options(**self._actor_options)
            .remote(number, self._setup, self._data)
        )
        if self._donors is not None:
            actor.set_donors.remote(*self._donors)
        return actor

    def _replace(self, number: int) -> None:
        self._ray.kill(self._actors[number])
        self._actors[number] = self._start(number)
        self._fresh.add(number)

    def _collect(self, reference: Any, is_done: bool) -> tuple[Outcome | None, str]:
        """Return the outcome, or None and why there is none."""
        if not is_done:
            return None, f"no answer within {self._options.hang_seconds:g} s, worker killed"
        try:
            return self._ray.get(reference), ""
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return None, f"worker died ({type(error).__name__}: {(lines or [''])[-1][:300]})"

    def _hanging(self, running: dict[Any, Any], done: list[Any]) -> list[Any]:
        """Return the references of tasks that exceed their time."""
        now = time.monotonic()
        return [
            reference
            for reference, (_, _, number, start) in running.items()
            if reference not in done
            and now - start
            > self._options.hang_seconds + (_START_SECONDS if number in self._fresh else 0)
        ]


def _start_ray(options: ExecutorOptions) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        if options.address:
            ray.init(address=options.address, log_to_driver=False, logging_level="ERROR")
            return
        ray.init(
            num_cpus=max(options.workers, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            # Only this machine may talk to the run; no other address is listened on.
            _node_ip_address="127.0.0.1",
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = options.address or "this machine"
        raise RunError(
            f"Ray cannot be started or reached on {where}: {error}. "
            "Try --set executor.kind=serial, or check the address with 'ray status'."
        ) from None


def _choose_device(device: str, resources: dict[str, float]) -> str:
    """Return the device to use: what was asked for, or the best there is."""
    if device == "auto":
        return next((kind for kind in ("TPU", "GPU") if resources.get(kind)), "CPU").lower()
    if device != "cpu" and not resources.get(device.upper()):
        found = ", ".join(
            f"{name} {count:g}" for name, count in resources.items() if ":" not in name
        )
        raise RunError(
            f"executor.device = {device!r}, but Ray offers none. It offers: {found}. "
            "Use --set executor.device=cpu, or check the driver."
        )
    return device


def _worker_count(options: ExecutorOptions, device: str, resources: dict[str, float]) -> int:
    """Return the number of workers: as asked, or one per core or accelerator."""
    return options.workers or max(1, int(resources.get(device.upper(), 1)))


def _actor_options(device: str) -> dict[str, Any]:
    if device == "gpu":
        return {"num_cpus": 1, "num_gpus": 1}
    if device == "tpu":
        return {"num_cpus": 1, "resources": {"TPU": 1}}
    return {"num_cpus": 1}
