"""Which second-level models are fitted: lines of configuration, each with a hash.

A portfolio is a TOML file of tables `[[model]]`. A list stands for a grid: all combinations are fitted.

    [[model]]
    kind = "ridge"
    inputs = ["logits", "ranks"]
    strength = [1, 10, 100]
    columns = 0.5      # each model sees half of the columns, drawn by its seed
    seed = [1, 2, 3]

    [[model]]
    kind = "logistic"
    level = 2          # sees what the models of level 1 say, each out of fold
    restack = true     # and the columns and the table as well
"""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from efn_compose.errors import ConfigError, describe_problems, first_of
from efn_compose.jobs.ensembles.stacking.kinds import KINDS

Inputs = Literal["logits", "ranks"]
_INPUTS = ("logits", "ranks")
#: No level above this one: each is fitted as often again as there are folds.
_HIGHEST = 9
_LISTED = 10


@dataclass(frozen=True)
class StackModel:
    """One second-level model.

    Args:
        kind: A name of the table of kinds.
        parameters: All of the kind's, as sorted pairs.
        inputs: "logits", or "ranks" among the rows it is fitted on.
        columns: Share of the columns before its level that it sees, drawn by its seed.
        uses_table: Whether it sees the user's own columns as well.
        seed: Of the draw and of the model.
        level: 1 sees the networks' columns, any other one what the level before it says.
        restack: Whether it sees all levels before it, and the table, as well.
    """

    kind: str
    parameters: tuple[tuple[str, Any], ...]
    inputs: Inputs = "logits"
    columns: float = 1.0
    uses_table: bool = True
    seed: int = 1
    level: int = 1
    restack: bool = False

    @property
    def key(self) -> str:
        """Hash of all fields, the model's name in journal and files."""
        fields: list[Any] = [
            self.kind, self.parameters, self.inputs, self.columns, self.uses_table, self.seed
        ]  # fmt: skip
        if self.level > 1:
            fields += [self.level, self.restack]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Kind and hash, and the level above the first."""
        above = f"level{self.level}_" if self.level > 1 else ""
        return f"{above}{self.kind}_{self.key}"

    @property
    def settings(self) -> str:
        """What sets the model apart from others of its kind, in words."""
        words = [f"{name} {value}" for name, value in self.parameters]
        words += [self.inputs] if self.inputs != "logits" else []
        words += [f"{self.columns:.0%} of the columns"] if self.columns < 1 else []
        words += [] if self.uses_table else ["without the table"]
        words += ["sees all levels"] if self.restack else []
        return ", ".join([*words, f"seed {self.seed}"])

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        own = {
            "kind": self.kind,
            "inputs": self.inputs,
            "columns": self.columns,
            "table": self.uses_table,
            "seed": self.seed,
            "level": self.level,
            "restack": self.restack,
        }
        return own | dict(self.parameters)


#: The default portfolio, as tables of a file.
_DEFAULT: tuple[Mapping[str, Any], ...] = (
    {"kind": "logistic_cv"},
    {"kind": "logistic", "strength": [0.01, 0.1], "columns": 0.5, "seed": [1, 2]},
    {"kind": "ridge", "inputs": "ranks", "strength": [10.0, 100.0, 1000.0]},
    {"kind": "lightgbm", "leaves": [7, 15, 31]},
    {"kind": "xgboost_forest"},
    {"kind": "extra_trees", "leaf": [5, 20, 50]},
    {"kind": "neighbours", "count": [15, 50, 200]},
    {"kind": "dense", "seed": [1, 2, 3, 4, 5]},
    {"kind": "fully_connected"},
    {"kind": "embeddings"},
    {"kind": "catboost"},
)


def load_portfolio(
    place: str, has_categories: bool = True
) -> tuple[tuple[StackModel, ...], tuple[str, ...]]:
    """Return the models of a portfolio, and notes on what was left out of the default one.

    Args:
        place: "default", or a TOML file.
        has_categories: Whether there is a table with categories. Without one the default portfolio
            does without the kinds that are meant for them.

    Raises:
        ConfigError: No such file, or models that cannot be made; all problems are listed.

    Example:
        >>> models, notes = load_portfolio("default")
        >>> len({model.key for model in models}) == len(models)
        True
    """
    if place == "default":
        wanted = [t for t in _DEFAULT if has_categories or not KINDS[t["kind"]].knows_categories]
        there = [table for table in wanted if KINDS[table["kind"]].is_there]
        absent = sorted({t["kind"] for t in wanted} - {t["kind"] for t in there})
        notes = tuple(
            f"{kind}: not installed (pip install 'efn_compose[{KINDS[kind].extra}]')"
            for kind in absent
        )
        return _expand(there, "the default portfolio"), notes
    path = Path(place)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: no portfolio there ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}).") from None
    tables = found.get("model")
    if set(found) != {"model"} or not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path}: expected tables [[model]] and nothing else.")
    return _expand(tables, str(path)), ()


def _expand(tables: Sequence[Mapping[str, Any]], where: str) -> tuple[StackModel, ...]:
    models: dict[str, StackModel] = {}
    problems: list[str] = []
    for number, table in enumerate(tables, 1):
        kind = table.get("kind") if isinstance(table, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            problems.append(f"- model {number}: kind {kind!r}; allowed: one of {', '.join(KINDS)}")
            continue
        if not KINDS[kind].is_there:
            problems.append(f"- model {number}: {kind} needs the package {KINDS[kind].package}")
        defaults = {
            "inputs": "logits", "columns": 1.0, "table": True, "seed": 1, "level": 1, "restack": False
        }  # fmt: skip
        known = {**defaults, **KINDS[kind].parameters}
        unknown = sorted(set(table) - set(known) - {"kind"})
        if unknown:
            problems.append(
                f"- model {number}: {kind} has no {', '.join(unknown)}; allowed: {', '.join(known)}"
            )
            continue
        empty = [name for name, value in table.items() if value == []]
        if empty:
            problems.append(f"- model {number}: {', '.join(empty)} = [], which makes no model")
        grid = [v if isinstance(v, list) else [v] for v in (table.get(k, known[k]) for k in known)]
        for values in itertools.product(*grid):
            chosen = dict(zip(known, values, strict=True))
            wrong = _wrong(chosen, known)
            if wrong:
                problems.append(f"- model {number}: {wrong}")
                break
            model = _model(kind, chosen)
            models[model.key] = model
    levels = {model.level for model in models.values()}
    gaps = sorted(set(range(1, max(levels, default=0) + 1)) - levels)
    if gaps and not problems:
        problems.append(
            f"- level {max(levels)} needs models of level {gaps[0]}, and there are none"
        )
    if problems:
        shown = first_of(problems, _LISTED)
        raise ConfigError(describe_problems(f"{where}: not a portfolio.", shown))
    return tuple(sorted(models.values(), key=lambda model: model.level))


def _wrong(chosen: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if chosen["inputs"] not in _INPUTS:
        return f"inputs {chosen['inputs']!r}; allowed: {', '.join(_INPUTS)}"
    if not isinstance(chosen["columns"], int | float) or not 0 < chosen["columns"] <= 1:
        return f"columns {chosen['columns']!r}; allowed: above 0, up to 1"
    if chosen["level"] in (0, 1) and chosen["restack"]:
        return (
            "restack = true; level 1 has no levels before it. Set level = 2, or leave restack out"
        )
    for name, default in known.items():
        value = chosen[name]
        if name in ("inputs", "columns"):
            continue
        if name == "level" and value not in range(1, _HIGHEST + 1):
            return f"level {value}; allowed: 1 to {_HIGHEST}"
        if isinstance(default, bool):
            if not isinstance(value, bool):
                return f"{name} {value!r}; allowed: true, false"
        elif not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            return f"{name} {value!r}; allowed: a number that is not negative"
        elif isinstance(default, int) and not isinstance(value, int):
            return f"{name} {value!r}; allowed: a whole number"
    return ""


def _model(kind: str, chosen: Mapping[str, Any]) -> StackModel:
    parameters = {
        # 10 and 10.0 are one model.
        name: float(chosen[name]) if isinstance(default, float) else chosen[name]
        for name, default in KINDS[kind].parameters.items()
    }
    return StackModel(
        kind=kind,
        parameters=tuple(sorted(parameters.items())),
        inputs=chosen["inputs"],
        columns=float(chosen["columns"]),
        uses_table=chosen["table"],
        seed=chosen["seed"],
        level=chosen["level"],
        restack=chosen["restack"],
    )
