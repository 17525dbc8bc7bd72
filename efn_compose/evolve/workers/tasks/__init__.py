"""What workers of a search are asked: one file per task, which holds its fields and its work.

Begin at `evaluation.py`. A task's `run(worker)` may use what an `Evaluator` owns: images, the
traced network, the donors of its seat. How to add one: `docs/howto/executor.md`.
"""

from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.tasks.absorb import AbsorbTask
from efn_compose.evolve.workers.tasks.align import AlignTask
from efn_compose.evolve.workers.tasks.batch_size import BatchSizeTask
from efn_compose.evolve.workers.tasks.evaluation import Evaluation, EvaluationTask
from efn_compose.evolve.workers.tasks.finish import FinishTask
from efn_compose.evolve.workers.tasks.prediction import PredictionTask
from efn_compose.evolve.workers.tasks.saliency import SaliencyTask
from efn_compose.evolve.workers.tasks.sibling import SiblingTask

__all__ = [
    "AbsorbTask",
    "AlignTask",
    "BatchSizeTask",
    "Evaluation",
    "EvaluationTask",
    "FinishTask",
    "Outcome",
    "PredictionTask",
    "SaliencyTask",
    "SiblingTask",
    "Task",
]
