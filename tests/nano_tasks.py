"""Tasks that misbehave; sent whole to workers, which do not see this folder."""

import os
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
