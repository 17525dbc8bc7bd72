"""Ready-made studies fill in what is left open, and leave what a person chose."""

import itertools

import pytest
from tiny_recipe import tiny_donor
from tiny_study import settings, study_place

from efn_compose.errors import ConfigError
from efn_compose.jobs.study.kinds import fill_axes
from efn_compose.jobs.study.options import StudyOptions
from efn_compose.jobs.study.preparation import prepare_study
from efn_compose.jobs.study.starts import target_spec

_OPEN = {"study__kind": "methods", "study__factors": "", "study__resolutions": "16"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return study_place(tmp_path_factory.mktemp("kinds"))


def _points(place, **changes):
    overrides = settings(place, "run", augment__grid=0, **{**_OPEN, **changes})
    prepared = prepare_study(None, overrides, show_progress=False)
    # Axes of one level are kept for the record.
    varied = [n for n, axis in enumerate(prepared.axes) if len(axis.levels) > 1]
    return prepared, [tuple(point[n] for n in varied) for point in prepared.points]


def test_methods_are_a_fraction_where_nobody_says_otherwise(place):
    prepared, points = _points(place)
    assert len(points) == 16 and prepared.config.study.design == "fraction"


def test_methods_with_the_full_design_train_all_combinations(place):
    prepared, points = _points(place, study__design="full")
    assert sorted(points) == sorted(itertools.product(range(2), repeat=8))
    assert prepared.config.study.design == "full"


def test_methods_with_factors_of_ones_own_train_all_combinations(place):
    factors = "train.mixup=0|0.2,train.ema=0|0.98"
    assert len(_points(place, study__factors=factors)[1]) == 4
    assert len(_points(place, study__factors=factors, study__design="fraction")[1]) == 4
    assert _points(place, study__factors=factors)[0].config.study.design == "full"


def test_a_sample_of_methods_is_a_sample(place):
    assert len(_points(place, study__design="sample", study__points=5)[1]) == 5


def test_scaling_varies_the_network_that_is_named():
    options = StudyOptions(kind="scaling", networks=("lite-w0.5-d0.3",))
    found = fill_axes(options, {"one": tiny_donor()}, 64)
    assert found.widths == (0.31, 0.5, 0.8) and found.depths == (0.19, 0.3, 0.48)
    # The step between them is the network itself.
    assert target_spec(tiny_donor(), "lite-w0.5-d0.3", 0.5, 0.3).variant == "lite-w0.5-d0.3"


def test_a_function_has_no_coefficients_to_vary(place):
    with pytest.raises(ConfigError, match="math:sqrt has not: it is a function"):
        _points(place, study__kind="scaling", study__networks="math:sqrt")
