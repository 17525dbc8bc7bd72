"""Tasks that misbehave; sent whole to workers, which do not see this folder."""

import atexit
import dataclasses
import os
import pathlib
import signal
import time


class Bomb:
    """A task that kills its worker the first time it is asked."""

    def __init__(self, path):
        self.path = path

    def run(self, evaluator):
        if not os.path.exists(self.path):
            with open(self.path, "w"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"


class Sleeper:
    """A task that hangs the first time it is asked."""

    def __init__(self, path):
        self.path = path

    def run(self, evaluator):
        if not os.path.exists(self.path):
            with open(self.path, "w"):
                pass
            time.sleep(600)
        return "woke up"


class Raiser:
    """A task that raises."""

    def run(self, evaluator):
        raise ValueError("no such candidate")


class Worker:
    """A task that says which process answers it, after a while."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def run(self, evaluator):
        time.sleep(self.seconds)
        return os.getpid()


class Grower:
    """A task that leaves its process so many MB larger, and says which one it is."""

    def __init__(self, megabytes):
        self.megabytes = megabytes

    def run(self, evaluator):
        evaluator.donors = b"x" * (self.megabytes << 20)
        return os.getpid()


class Farewell:
    """A task that has its process leave a file when it ends by itself."""

    def __init__(self, path):
        self.path = path

    def run(self, evaluator):
        atexit.register(pathlib.Path(self.path).touch)


class Hoarder:
    """A task that asks for more memory than its process may have."""

    def run(self, evaluator):
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**27, before[1]))
        try:
            return len(bytearray(2**30))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class Priority:
    """A task that returns its process' niceness."""

    def run(self, evaluator):
        return os.nice(0)


@dataclasses.dataclass(frozen=True)
class PlainSetup:
    """Makes evaluators without a network."""

    device: str = "cpu"

    def make_evaluator(self, data):
        """Return an evaluator that needs no TensorFlow."""
        return PlainEvaluator()


class PlainEvaluator:
    """Keeps donors, evaluates nothing; tasks bring all they need."""

    def set_donors(self, space, donors):
        """Keep the donors."""
        self.donors = donors
