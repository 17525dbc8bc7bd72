"""What an ensemble came to: for machines, for people, for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.assess.ensembles import Judged, Measure, Suspect, Verdict, score

if TYPE_CHECKING:
    from efn_compose.jobs.ensembles.asked import TestAnswers
    from efn_compose.jobs.ensembles.preparation import PreparedEnsemble
    from efn_compose.jobs.ensembles.stacking.run import StackColumns

#: Second-level models that are listed with their scores.
_BEST = 20


@dataclass(frozen=True)
class MethodRow:
    """One way to combine, on outer folds. Of "loss" all scores are negative: higher is better.

    Args:
        name: Of the method.
        honest: Score of rows whose fold had no say.
        error: Its standard error.
        flattering: Score of the rows that were fitted on.
        difference: Honest score minus the median's.
        difference_error: Standard error of that paired difference.
    """

    name: str
    honest: float
    error: float
    flattering: float
    difference: float
    difference_error: float


@dataclass(frozen=True)
class ColumnRow:
    """One column.

    Args:
        name: Of the column.
        score: Out of fold.
        error: Its standard error.
        weight: In the asked method; None where it has no weights.
        flattery: Why its score flatters, empty where nothing says so.
        suspicion: Why it looks as if it had leaked, empty where it does not.
    """

    name: str
    score: float
    error: float
    weight: float | None
    flattery: str
    suspicion: str


@dataclass(frozen=True)
class EnsembleResult:
    """All of it.

    Args:
        verdict: What is written first, and why.
        measure: What was compared.
        methods: Ways to combine.
        columns: What was combined.
        asked_method: `ensemble.method`, whose weights the columns have. The second level has no weights
            for columns.
        behind: Columns that this method left out for their score.
        doubles: Columns that it left out as doubles.
        told_apart: How well out-of-fold rows are told from test rows; None where not all were asked.
        rows: Number of labelled rows.
        images: Number of test images.
        asked: Networks asked.
        networks: Networks there are.
        stack: The second level: models fitted, failed and not fitted yet, and their scores by name; None
            without one.
    """

    verdict: Verdict
    measure: str
    methods: tuple[MethodRow, ...]
    columns: tuple[ColumnRow, ...]
    asked_method: str
    behind: int
    doubles: int
    told_apart: float | None
    rows: int
    images: int
    asked: int
    networks: int
    stack: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        prepared: "PreparedEnsemble",
        judged: Mapping[str, Judged],
        verdict: Verdict,
        suspects: Sequence[Suspect],
        apart: float | None,
        answers: "TestAnswers",
        stack: "StackColumns | None" = None,
    ) -> "EnsembleResult":
        """Collect the result."""
        members, measure = prepared.members, prepared.config.ensemble.measure
        rows = members.rows
        methods = [
            MethodRow(
                name,
                one.honest.value,
                one.honest.standard_error(rows.clusters),
                one.flattering.value,
                one.against_fallback.difference,
                one.against_fallback.standard_error,
            )
            for name, one in judged.items()
        ]
        asked_method = prepared.config.ensemble.method
        combination = judged[asked_method].combination
        suspicions = {suspect.column: suspect.reason for suspect in suspects}
        columns = []
        for number, member in enumerate(members.members):
            own = score(measure, rows.label, member.probability)
            weights = combination.weights
            columns.append(
                ColumnRow(
                    member.column.name,
                    own.value,
                    own.standard_error(rows.clusters),
                    None if weights is None else float(weights[number]),
                    member.column.flattery,
                    suspicions.get(number, ""),
                )
            )
        return cls(
            verdict,
            measure,
            tuple(methods),
            tuple(columns),
            asked_method,
            combination.behind,
            combination.doubles,
            apart,
            len(rows),
            len(prepared.table),
            answers.networks,
            len(members.networks),
            None if stack is None else _stack_json(stack, rows.label, measure),
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        verdict = self.verdict
        return {
            "written": verdict.winner,
            "challenger": verdict.challenger,
            "difference": verdict.comparison.difference,
            "standard_error": verdict.comparison.standard_error,
            "reasons": list(verdict.reasons),
            "measure": self.measure,
            "methods": {row.name: {k: v for k, v in vars(row).items() if k != "name"}
                        for row in self.methods},
            "columns": {row.name: {k: v for k, v in vars(row).items() if k != "name"}
                        for row in self.columns},
            "left_out": {"behind": self.behind, "doubles": self.doubles},
            "told_apart": self.told_apart,
            "rows": self.rows,
            "images": self.images,
            "networks": {"asked": self.asked, "of": self.networks},
            "stack": self.stack,
        }  # fmt: skip

    def __str__(self) -> str:
        """Return table and verdict as lines for people."""
        width = max(len(row.name) for row in self.methods)
        measure = "negative loss" if self.measure == "loss" else self.measure
        lines = [
            f"{len(self.columns)} columns, {self.rows:,} rows, {self.images:,} images; {measure} on "
            "outer folds:",
            f"  {'method':<{width}}  honest            minus median      flattering",
        ]
        lines += [
            f"  {row.name:<{width}}  {row.honest:.4f} ± {row.error:.4f}   "
            f"{row.difference:+.4f} ± {row.difference_error:.4f}  {row.flattering:.4f}"
            for row in self.methods
        ]
        return "\n".join([*lines, *self.verdict.reasons, f"submission.csv: {self.verdict.winner}"])


def _stack_json(stack: "StackColumns", labels: np.ndarray, measure: Measure) -> dict[str, Any]:
    scores = {
        model.name: score(measure, labels, stated).value
        for model, stated in zip(stack.models, stack.probability, strict=True)
    }
    best = dict(sorted(scores.items(), key=lambda item: -item[1])[:_BEST])
    settings = {model.name: model.settings for model in stack.models if model.name in best}
    return {
        "fitted": len(stack.models),
        "failed": stack.failed,
        "not_fitted": stack.missing,
        "best": best,
        "settings": settings,
    }
