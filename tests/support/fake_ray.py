"""Ray without processes: nodes with faults, actors that answer at moments of a made-up clock."""

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace

from efn_compose.evolve.workers.executors.worker_check import describe_process
from efn_compose.evolve.workers.task import Outcome, Task


@dataclass(frozen=True)
class Double(Task):
    """A task whose answer is known; some fail wherever they are asked."""

    value: int
    fails: bool = False

    def run(self, worker):
        raise NotImplementedError


@dataclass
class FakeNode:
    """A node.

    Args:
        name: As workers say it.
        slots: Workers that have room.
        seconds: Of an answer.
        fault: "": none; "fails": every answer is a failure, at once; "dies": every task kills its
            worker; "starts": no worker starts.
        sound: Tasks that are answered well before the fault begins.
    """

    name: str
    slots: int = 2
    seconds: float = 1.0
    fault: str = ""
    sound: int = 0
    asked: list = field(default_factory=list)

    def answer(self, task, number):
        """Return (seconds, outcome); None in place of an outcome where the worker dies."""
        self.asked.append(task)
        if self.fault and len(self.asked) > self.sound:
            if self.fault == "dies":
                return 0.0, None
            return 0.0, Outcome(None, f"no disk on {self.name}", number, 0.0)
        if task.fails:
            return self.seconds, Outcome(None, "no such candidate", number, self.seconds)
        return self.seconds, Outcome(2 * task.value, None, number, self.seconds)


class _Reference:
    def __init__(self, ready, value):
        self.ready, self.value = ready, value


class DeathError(Exception):
    pass


class _Actor:
    def __init__(self, ray, number):
        self._ray, self._number, self.is_dead = ray, number, False
        free = (node for node in ray.nodes if len(ray.placed[node.name]) < node.slots)
        self.node = next(free, None)
        if self.node is not None:
            ray.placed[self.node.name].append(self)
        self.begin = self.__ray_terminate__ = SimpleNamespace(
            remote=lambda *_: _Reference(self._ray.now, None)
        )
        self.hello = SimpleNamespace(remote=self._hello)
        self.answer = SimpleNamespace(remote=self._answer)

    def _hello(self):
        if self.node is None:
            return _Reference(float("inf"), None)
        if self.node.fault == "starts":
            self.is_dead = True
            return _Reference(self._ray.now, DeathError("no driver of the device"))
        return _Reference(self._ray.now, {**describe_process(), "node": self.node.name})

    def _answer(self, task, stored):
        seconds, outcome = self.node.answer(task, self._number)
        self.is_dead = outcome is None
        return _Reference(self._ray.now + seconds, outcome or DeathError("killed"))


class FakeRay:
    """What the executor uses of Ray.

    Args:
        nodes: New actors are placed on the first that has room.
    """

    exceptions = SimpleNamespace(RayError=DeathError)

    def __init__(self, nodes):
        self.nodes, self.now, self.started = nodes, 0.0, count()
        self.placed = {node.name: [] for node in nodes}

    def cluster_resources(self):
        return {"CPU": float(sum(node.slots for node in self.nodes))}

    available_resources = cluster_resources

    def put(self, value):
        return value

    def remote(self, _class):
        make = SimpleNamespace(remote=lambda number: _Actor(self, number))
        return SimpleNamespace(options=lambda **_: make)

    def wait(self, references, num_returns, timeout):
        ready = min(reference.ready for reference in references)
        if timeout and ready < float("inf"):
            self.now = max(self.now, ready)
        done = [reference for reference in references if reference.ready <= self.now]
        done = done[:num_returns]
        return done, [reference for reference in references if reference not in done]

    def get(self, reference):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(self, actor):
        if actor.node is not None:
            self.placed[actor.node.name].remove(actor)

    def is_initialized(self):
        return True

    def shutdown(self):
        pass
