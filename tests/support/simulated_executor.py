"""A cluster that exists on paper: workers that take drawn times on a virtual clock."""

import heapq
import random
from dataclasses import replace

from fake_executor import FakeExecutor

from efn_compose.evolve.workers.tasks import Outcome


class SimulatedExecutor(FakeExecutor):
    """Answers in the order in which workers with heavy-tailed times would finish.

    Args:
        workers: Number of workers.
        seed: Of the times; each task's time depends on its recipe and seed only.
        median_seconds: Of an evaluation.
        spread: Standard deviation of the logarithm of times.
    """

    def __init__(self, workers, seed=0, median_seconds=20.0, spread=0.8):
        super().__init__(workers)
        self._seed, self._median, self._spread = seed, median_seconds, spread
        self.now = self.busy = 0.0
        #: Idle share of the latest run up to the moment in which nothing more was asked.
        self.idle_while_asking = 0.0

    def seconds(self, task):
        """Return how long a task takes: lognormal, one in a hundred ten times as long."""
        recipe, seed = getattr(task, "recipe", None), getattr(task, "seed", 0)
        generator = random.Random(f"{self._seed} {recipe and recipe.values} {seed}")
        factor = 10.0 if generator.random() < 0.01 else 1.0
        return self._median * factor * generator.lognormvariate(0.0, self._spread)

    def run(self, tasks, seat=None):
        self._seat = seat
        source, began, busy_before = enumerate(tasks), self.now, self.busy
        is_drained = False
        running: list[tuple[float, int, int, Outcome]] = []
        idle = list(range(self.workers))
        while True:
            while idle and not is_drained:
                found = next(source, None)
                if found is None:
                    is_drained = True
                    done = self.busy - busy_before - sum(entry[0] - self.now for entry in running)
                    time = (self.now - began) * self.workers
                    self.idle_while_asking = 1 - done / time if time else 0.0
                    break
                position, task = found
                seconds = self.seconds(task)
                self.busy += seconds
                outcome = replace(self.answer(task), worker=idle[-1], seconds=seconds)
                heapq.heappush(running, (self.now + seconds, position, idle.pop(), outcome))
            if not running:
                return
            self.now, position, worker, outcome = heapq.heappop(running)
            idle.append(worker)
            yield position, outcome
