"""Temperatures and thresholds where one run's variants are sure of themselves in different ways."""

import numpy as np
import pytest
from random_donors import TINY, random_donor

from efn_compose.arch import HEAD_LAYER
from efn_compose.assess.out_of_fold import Predictions, join_predictions, write_predictions
from efn_compose.assess.out_of_fold.file import default_name
from efn_compose.jobs.predictions.calibration import chosen_threshold, fitted_temperatures
from efn_compose.jobs.predictions.networks import Network

COUNT = 4000
#: By how much each variant exaggerates its logits: the temperature that undoes it.
EXAGGERATED = {"calm": 1.0, "loud": 3.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose labels were drawn from the calm variant's probabilities."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, COUNT)
    labels = (rng.random(COUNT) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    parts = []
    for variant, factor in EXAGGERATED.items():
        positive = 1 / (1 + np.exp(-factor * logits))
        parts.append(
            Predictions(
                class_names=("benign", "malignant"),
                number=np.arange(COUNT),
                image=tuple(map(str, range(COUNT))),
                patient=("",) * COUNT,
                label=labels,
                fold=np.arange(COUNT) % 2,
                seed=np.ones(COUNT, np.int64),
                variant=(variant,) * COUNT,
                probability=np.stack([1 - positive, positive], axis=1).astype(np.float32),
            )
        )
    write_predictions(join_predictions(parts), folder / default_name())
    return folder, logits, labels


def network(folder, variant):
    donor = random_donor(TINY, 1, classes=2)
    head = {name: t for name, t in donor.tensors.items() if name.startswith(f"{HEAD_LAYER}/")}
    shapes = {name: values.shape for name, values in head.items()}
    return Network(
        variant, donor.spec, donor.conventions, shapes, lambda: (donor, head), 16,
        ("benign", "malignant"), variant=variant, run=folder,
    )  # fmt: skip


def test_each_variant_has_the_temperature_that_undoes_its_own_exaggeration(run):
    networks = [network(run[0], variant) for variant in ("loud", "calm", "loud")]
    found = fitted_temperatures(networks)
    assert found == pytest.approx([3.0, 1.0, 3.0], rel=0.1) and found[0] == found[2]


@pytest.mark.parametrize("variant", EXAGGERATED)
@pytest.mark.parametrize("is_tempered", [False, True])
def test_a_threshold_is_measured_on_the_variant_that_is_asked(run, variant, is_tempered):
    folder, logits, labels = run
    temperatures = [2.0] if is_tempered else []
    found = chosen_threshold("sensitivity=0.9", [network(folder, variant)], temperatures)
    factor = EXAGGERATED[variant] / (2.0 if is_tempered else 1.0)
    # As many of the malignant ones are above it: the tenth part's quantile of their own scores.
    scores = 1 / (1 + np.exp(-factor * logits[labels == 1]))
    assert (scores >= found - 1e-6).mean() == pytest.approx(0.9, abs=1 / 500)


def test_variants_asked_together_are_tempered_apart_before_a_threshold_is_found(run):
    folder, logits, labels = run
    networks = [network(folder, variant) for variant in EXAGGERATED]
    # Divided so, both say the same: the threshold is that of either one alone.
    found = chosen_threshold("sensitivity=0.9", networks, [1.0, 3.0])
    alone = chosen_threshold("sensitivity=0.9", networks[:1], [1.0])
    assert found == pytest.approx(alone, abs=1e-4)
    scores = 1 / (1 + np.exp(-logits[labels == 1]))
    assert (scores >= found - 1e-4).mean() == pytest.approx(0.9, abs=1 / 500)
