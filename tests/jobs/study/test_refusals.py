"""What no study can be made of is said before anything is written."""

import pytest
from tiny_study import settings, study_place

from efn_compose.errors import ConfigError
from efn_compose.jobs.study.preparation import prepare_study


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return study_place(tmp_path_factory.mktemp("refusals"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study__weights": ""}, "study.weights is empty"),
        ({"study__factors": "data.size=1|2"}, "a setting of"),
        ({"study__factors": "train.mixup=0|x"}, "a number"),
        ({"study__factors": "train.mixupp=0|1"}, "Did you mean"),
        ({"study__factors": "train.keep=last|best"}, "more epochs it has"),
        ({"study__factors": "train.mixup=0|0.1,train.mixup=0|0.2"}, "names train.mixup twice"),
        ({"study__networks": "nowhere:net"}, "cannot be found"),
        ({"study__networks": "v2-s-w0.1-d0.1"}, "No training of this study is possible"),
        ({"study__sources": "digits"}, "exclude each other"),
        (
            {"study__equal": "seconds", "train__sizes": "16", "train__epochs": 2},
            "train.sizes empty",
        ),
        ({"study__equal": "seconds", "study__factors": "train.epochs=1|2"}, "is no axis"),
        ({"study__equal": "multiply-adds", "study__networks": "math:sqrt"}, "are not. Set study.e"),
        ({"study__kind": "backbones", "study__widths": "0.5"}, "donors as they are"),
        ({"study__kind": "backbones", "study__networks": "lite0"}, "Remove study.networks, or"),
        ({"study__widths": "0"}, "study.widths: allowed a list, each item a number from 0.05"),
        ({"study__resolutions": "0,16"}, "each item a whole number from 8 to 2048"),
        ({"study__resolutions": "5000"}, "each item a whole number from 8 to 2048"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_studied_is_said_before_anything_is_written(place, changes, words):
    with pytest.raises(ConfigError, match=words):
        prepare_study(None, settings(place, "wrong", **changes), show_progress=False)
    assert not (place / "wrong").exists()


@pytest.mark.slow
def test_a_donor_that_is_named_twice_is_refused(place):
    twice = settings(place, "wrong", study__weights=f"{place / 'tiny.h5'},{place / 'tiny.h5'}")
    with pytest.raises(ConfigError, match=r"study\.weights names .*tiny\.h5 twice"):
        prepare_study(None, twice, show_progress=False)
