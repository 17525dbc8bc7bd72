"""Temperature and threshold that a training's own out-of-fold predictions suggest."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.assess.evaluation import threshold_table
from efn_compose.assess.metrics import best_temperature
from efn_compose.assess.out_of_fold import Predictions, default_name, read_predictions
from efn_compose.assess.out_of_fold.file import find_predictions
from efn_compose.errors import ConfigError
from efn_compose.jobs.predictions.networks import Network

#: Probabilities below this are taken for it, so that their logarithm is finite.
_FLOOR = 1e-30


def fitted_temperatures(networks: Sequence[Network]) -> list[float]:
    """Return for each network the temperature that suits its run's out-of-fold predictions best.

    Raises:
        ConfigError: A network comes from no run with such predictions.
    """
    by_run = {run: _temperature(_rows(run)) for run in _runs(networks, "a temperature")}
    return [by_run[network.run] for network in networks if network.run is not None]


def chosen_threshold(
    words: str, networks: Sequence[Network], temperatures: Sequence[float] = ()
) -> float:
    """Return the threshold of the second of two classes that is called by words.

    Args:
        words: A number; "youden"; or "sensitivity=0.95".
        networks: Whose run's out-of-fold predictions decide.
        temperatures: Of `fitted_temperatures`, empty without.

    Raises:
        ConfigError: Other words, more than two classes, or no single run that decides.
    """
    if networks[0].classes != 2:
        raise ConfigError(
            f"--threshold divides two classes; these networks tell {networks[0].classes} apart."
        )
    if re.fullmatch(r"\d*\.?\d+(e-?\d+)?", words):
        if not 0 < float(words) < 1:
            raise ConfigError(f"--threshold must lie between 0 and 1. Received: {words}.")
        return float(words)
    match = re.fullmatch(r"youden|sensitivity=(0?\.\d+|1)", words.casefold())
    if not match:
        raise ConfigError(
            f"--threshold: allowed a number, youden, or sensitivity=0.95. Received: {words!r}."
        )
    runs = _runs(networks, "a threshold by name")
    if len(runs) > 1:
        raise ConfigError(
            f"--threshold {words}: the networks come from {len(runs)} runs, each with thresholds of "
            "its own. Name a number."
        )
    rows = _rows(runs[0])
    stated = rows.probability.astype(np.float64)
    divisor = temperatures[0] if temperatures else 1.0
    tempered = np.maximum(stated, _FLOOR) ** (1 / divisor)
    scores = (tempered / tempered.sum(axis=1, keepdims=True))[:, 1]
    wanted = [float(match[1])] if match[1] else []
    return threshold_table(rows.label == 1, scores, wanted)[len(wanted)].threshold


def _temperature(rows: Predictions) -> float:
    logits = np.log(np.maximum(rows.probability.astype(np.float64), _FLOOR))
    return best_temperature(logits, rows.label)


def _runs(networks: Sequence[Network], what: str) -> list[Path]:
    without = [n.name for n in networks if n.run is None or find_predictions(n.run) is None]
    if without:
        raise ConfigError(
            f"{what} comes from out-of-fold predictions of a finished run of trainings, and "
            f"{', '.join(without)} has none."
        )
    return list(dict.fromkeys(network.run for network in networks if network.run is not None))


def _rows(run: Path) -> Predictions:
    return read_predictions(find_predictions(run) or run / default_name())
