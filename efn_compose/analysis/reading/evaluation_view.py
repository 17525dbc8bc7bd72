"""The journal as a reader sees it: one view per evaluation, also of a damaged file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.analysis.reading.stored_values import finite, recipe_values

#: Damaged lines named one by one; more are only counted.
_NAMED_LINES = 3


@dataclass(frozen=True)
class EvaluationView:
    """One line of the journal.

    Args:
        index: Number of the evaluation.
        phase: "noise", "search", "final" or "test".
        generation: Number of the generation, 0 outside the search.
        arm: Name of the contestant; empty for an anonymous candidate.
        kind: "genome", "average" or "segments".
        values: The genes, or one weight per donor, of the whole network or of each segment.
        seed: Seed of head, order and dropout.
        scores: By split part: "loss" (mean cross-entropy, nats), "accuracy", ...
        error: Why there are no scores.
        seconds: By phase: compose, assign, bn, epoch, score.
        wall_seconds: In the worker, all phases.
        worker: Number of the worker.
        memory_mb: Resident memory of the worker afterwards.
        attempts: How many workers it took.
        finished: Unix time when it was written down; None where unknown.
    """

    index: int
    phase: str
    generation: int
    arm: str
    kind: str
    values: tuple[float, ...]
    seed: int
    scores: Mapping[str, Mapping[str, float]]
    error: str | None
    seconds: Mapping[str, float]
    wall_seconds: float
    worker: int
    memory_mb: float
    attempts: int
    finished: float | None

    @property
    def loss(self) -> float | None:
        """Validation loss, the fitness; None after a failure."""
        return self.score("validation", "loss")

    @property
    def is_descendant(self) -> bool:
        """Whether its recipe numbers trained networks rather than donors."""
        return self.phase == "soup" or (self.phase == "population" and self.generation > 0)

    @property
    def recipe(self) -> tuple[str, tuple[float, ...]]:
        """The evaluated recipe, hashable."""
        return self.kind, self.values

    def score(self, part: str, metric: str) -> float | None:
        """Return one score; None where there is none."""
        return self.scores.get(part, {}).get(metric)


def read_evaluations(path: Path, problems: list[str]) -> tuple[EvaluationView, ...]:
    """Return the evaluations in a journal; a missing file and damaged lines become problems.

    Args:
        path: The journal; lines of events are left out.
        problems: Gets one sentence for each kind of damage.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        problems.append(f"{path.name} is missing: nothing has been evaluated.")
        return ()
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}.")
        return ()
    lines = content.split(b"\n")
    torn = lines.pop()
    found, damaged = [], []
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
            if "event" not in record:
                found.append(_evaluation(record, number))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            damaged.append(number + 1)
    if torn:
        problems.append(
            f"{path.name} ends in {len(torn)} bytes of an unfinished line, left by a process that "
            "was stopped while writing; they are left out, and resuming cuts them off."
        )
    if damaged:
        named = ", ".join(str(number) for number in damaged[:_NAMED_LINES])
        more = ", …" if len(damaged) > _NAMED_LINES else ""
        problems.append(
            f"{path.name}: {len(damaged)} of {len(lines)} lines are damaged and left out "
            f"(line {named}{more})."
        )
    return tuple(found)


def _evaluation(record: Mapping[str, Any], number: int) -> EvaluationView:
    recipe, timing = record["recipe"], record.get("timing") or {}
    scores = {
        str(part): {str(metric): finite(value) for metric, value in found.items()}
        for part, found in (record.get("scores") or {}).items()
    }
    error = record.get("error")
    finished = timing.get("finished")
    return EvaluationView(
        index=int(record.get("index", number)),
        phase=str(record["phase"]),
        generation=int(record.get("generation", 0)),
        arm=str(record.get("arm") or ""),
        kind=str(recipe["kind"]),
        values=recipe_values(recipe),
        seed=int(record.get("seed", 0)),
        scores=scores,
        error=None if error is None else str(error),
        seconds={str(k): finite(v) for k, v in (timing.get("seconds") or {}).items()},
        wall_seconds=finite(timing.get("wall_seconds", 0.0)),
        worker=int(timing.get("worker", 0)),
        memory_mb=finite(timing.get("memory_mb", 0.0)),
        attempts=int(timing.get("attempts", 1)),
        finished=None if finished is None else finite(finished),
    )
