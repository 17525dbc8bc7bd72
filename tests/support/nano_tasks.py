"""Tasks that misbehave; sent whole to workers, which do not see this folder."""

import atexit
import dataclasses
import os
import pathlib
import signal
import time

from efn_compose.evolve.workers.task import Task
from efn_compose.evolve.workers.worker import Worker


class Bomb(Task):
    """A task that kills its worker the first time it is asked."""

    def __init__(self, path):
        self.path = path

    def run(self, worker):
        if not os.path.exists(self.path):
            with open(self.path, "w"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"


class Killer(Task):
    """A task that kills each worker that is asked it."""

    def run(self, worker):
        os.kill(os.getpid(), signal.SIGKILL)


class Sleeper(Task):
    """A task that hangs the first time it is asked."""

    def __init__(self, path):
        self.path = path

    def run(self, worker):
        if not os.path.exists(self.path):
            with open(self.path, "w"):
                pass
            time.sleep(600)
        return "woke up"


class Raiser(Task):
    """A task that raises."""

    def run(self, worker):
        raise ValueError("no such candidate")


class Answer(Task):
    """A task that says which process answers it, after a while."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def run(self, worker):
        time.sleep(self.seconds)
        return os.getpid()


class Grower(Task):
    """A task that leaves its process so many MB larger, and says which one it is."""

    def __init__(self, megabytes):
        self.megabytes = megabytes

    def run(self, worker):
        worker.ballast = b"x" * (self.megabytes << 20)
        return os.getpid()


class Echo(Task):
    """A task that returns what it holds."""

    def __init__(self, value):
        self.value = value

    def run(self, worker):
        return self.value


class Reader(Task):
    """A task that reads its seat: its donors' first numbers, and how many seats its worker fetched."""

    def run(self, worker):
        donors = [int(donor["stem_conv/kernel"].flat[0]) for donor in worker.seat.donors]
        return donors, os.getpid(), worker.fetched


class BombedReader(Reader):
    """A task that kills its worker the first time, and reads the seat of the next one."""

    def __init__(self, path):
        self.path = path

    def run(self, worker):
        Bomb(self.path).run(worker)
        return super().run(worker)


class Farewell(Task):
    """A task that has its process leave a file when it ends by itself."""

    def __init__(self, path):
        self.path = path

    def run(self, worker):
        atexit.register(pathlib.Path(self.path).touch)


class Hoarder(Task):
    """A task that asks for more memory than its process may have."""

    def run(self, worker):
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**27, before[1]))
        try:
            return len(bytearray(2**30))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class Priority(Task):
    """A task that returns its process' niceness."""

    def run(self, worker):
        return os.nice(0)


@dataclasses.dataclass(frozen=True)
class PlainSetup:
    """Makes workers without a network."""

    def make_worker(self, data, device):
        """Return a worker that needs no TensorFlow."""
        return CountingWorker()


class CountingWorker(Worker):
    """Counts the seats that it fetched."""

    def __init__(self):
        super().__init__()
        self.fetched = 0

    def sit(self, ticket):
        """Count a seat that is not the present one."""
        self.fetched += not self.sits_at(ticket.fingerprint)
        super().sit(ticket)
