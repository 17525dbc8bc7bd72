"""An executor without networks: scores are a pure function of recipe and seed."""

import random

from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome


def fake_evaluation(task: EvaluationTask) -> Evaluation:
    """Return scores with a landscape, luck common to a seed, and luck of each run."""
    values = task.recipe.values
    if task.recipe.kind == "genome":
        truth = 0.4 + sum(0.01 * ((gene - locus) % 2) for locus, gene in enumerate(values))
    else:
        truth = 0.6
    common = random.Random(f"seed {task.seed}").gauss(0, 0.05)
    own = random.Random(f"{task.seed} {values}").gauss(0, 0.005)
    part = {"loss": truth + common + own, "accuracy": 0.5}
    solved = random.Random(f"{values}").randbytes(6).hex() if task.per_image else ""
    return Evaluation(scores=dict.fromkeys(task.parts, part), train_loss=1.0, solved=solved)


class FakeExecutor:
    """Answers at once, in an order drawn from a seed."""

    def __init__(self, workers: int = 1, order_seed: int = 0) -> None:
        self.workers = workers
        self.asked: list[object] = []
        self._seat = None
        self._generator = random.Random(order_seed)

    def run(self, tasks, seat=None):
        self._seat = seat
        if self.workers == 1:  # a task at a time, made from all answers so far
            for position, task in enumerate(tasks):
                yield position, self.answer(task)
            return
        order = list(range(len(tasks)))
        self._generator.shuffle(order)
        for position in order:
            yield position, self.answer(tasks[position])

    def answer(self, task) -> Outcome:
        self.asked.append(task)
        if isinstance(task, EvaluationTask):
            return Outcome(fake_evaluation(task), None, 0, 0.01)
        return Outcome(self.composed(task), None, 0, 0.01)

    def composed(self, task) -> dict:
        """Return the tensors of a task's recipe."""
        return dict(task.recipe.compose(self._seat.space, self._seat.donors))

    def note(self, text) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing to stop."""
