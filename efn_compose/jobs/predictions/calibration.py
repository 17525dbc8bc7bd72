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
    """Return for each network the temperature that suits its variant's out-of-fold predictions best.

    Raises:
        ConfigError: A network comes from no run with such predictions.
    """
    tables = {run: _read(run) for run in _runs(networks, "a temperature")}
    asked = [(network.run, network.variant) for network in networks if network.run is not None]
    found = {
        (run, variant): _temperature(_of_variants(tables[run], {variant}))
        for run, variant in set(asked)
    }
    return [found[one] for one in asked]


def chosen_threshold(
    words: str, networks: Sequence[Network], temperatures: Sequence[float] = ()
) -> float:
    """Return the threshold of the second of two classes that is called by words.

    Args:
        words: A number; "youden"; or "sensitivity=0.95".
        networks: The out-of-fold predictions of their run, and of their variants, decide.
        temperatures: (network,) of `fitted_temperatures`, empty without.

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
    variants = [network.variant for network in networks]
    rows = _of_variants(_read(runs[0]), set(variants))
    divisors = dict(zip(variants, temperatures or [1.0] * len(variants), strict=True))
    stated = np.maximum(rows.probability.astype(np.float64), _FLOOR)
    tempered = stated ** (1 / np.array([divisors[variant] for variant in rows.variant]))[:, None]
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


def _read(run: Path) -> Predictions:
    return read_predictions(find_predictions(run) or run / default_name())


def _of_variants(table: Predictions, variants: set[str]) -> Predictions:
    """Return the rows of some variants: each is as sure of itself as it is."""
    return table.rows(np.array([variant in variants for variant in table.variant]))
