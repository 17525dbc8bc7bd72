"""Fields beside transformers' weights: our scaling equals the library's processor, or is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.oracles.torch_models import declare_torchvision_operators
from converters.transformers_fields import config_problems, processor_scaling, stride_problems
from efn_compose.arch import arch_spec

pytestmark = pytest.mark.parity

DRAWS = 300
NUMBERS = st.floats(0.0625, 1.0)
FIELDS = {
    "do_rescale": st.booleans(),
    "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 1.0]),
    "rescale_offset": st.booleans(),
    "do_normalize": st.booleans(),
    "image_mean": st.tuples(NUMBERS, NUMBERS, NUMBERS).map(list) | NUMBERS.map(lambda v: [v] * 3),
    "image_std": st.tuples(NUMBERS, NUMBERS, NUMBERS).map(list),
    "include_top": st.booleans(),
    "resample": st.sampled_from([0, 2, 3]),
    "crop_size": st.just({"height": 289, "width": 289}),
}


@pytest.fixture(scope="module")
def processor():
    declare_torchvision_operators()
    from transformers import EfficientNetImageProcessor

    return EfficientNetImageProcessor


@settings(
    max_examples=DRAWS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fields=st.fixed_dictionaries({}, optional=FIELDS))
def test_scaling_is_that_of_the_librarys_processor(processor, tmp_path_factory, fields):
    folder = tmp_path_factory.mktemp("p")
    stated = {"image_processor_type": "EfficientNetImageProcessor", **fields}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    scaling, problems = processor_scaling(folder)
    assert problems == [] and scaling is not None
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    library = processor(**fields)
    theirs = library(
        pixels.astype(np.float32), do_resize=False, do_center_crop=False, return_tensors="np"
    )
    expected = theirs["pixel_values"][0].transpose(1, 2, 0).astype(np.float64)
    ours = (pixels - np.array(scaling.mean)) / np.array(scaling.std)
    assert np.abs(ours - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_processor_type", "ViTImageProcessor"),
        ("gamma", 2.2),
        ("image_std", [0.1, 0.0, 0.1]),
        ("image_mean", [0.1, 0.2]),
        ("do_rescale", "yes"),
        ("rescale_factor", -1),
    ],
)
def test_what_cannot_be_honoured_is_named_with_its_value(tmp_path, field, value):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({field: value}))
    _, problems = processor_scaling(tmp_path)
    assert len(problems) == 1 and field in problems[0] and repr(value)[:20] in problems[0]


def test_an_unreadable_processor_is_a_problem_and_an_absent_one_is_none(tmp_path):
    assert processor_scaling(tmp_path) == (None, [])
    (tmp_path / "preprocessor_config.json").write_text("{")
    assert "unreadable" in processor_scaling(tmp_path)[1][0]


def test_every_field_that_the_library_writes_is_known():
    declare_torchvision_operators()
    from transformers import EfficientNetConfig

    assert config_problems(EfficientNetConfig(num_labels=5).to_dict()) == []
    assert config_problems({"blur": 3}) and not config_problems({"blur": 3}, ("blur",))


@pytest.mark.parametrize("strides", [[1, 2, 2, 2, 1, 2, 1], [1, 2, 2, 1, 1, 2, 1]])
def test_strides_are_compared_with_the_networks(strides):
    is_usual = strides == [1, 2, 2, 2, 1, 2, 1]
    assert (stride_problems({"strides": strides}, arch_spec("b0")) == []) == is_usual


def test_saved_processor_of_the_library_is_read_whole(tmp_path, processor):
    processor().save_pretrained(tmp_path)
    names = [path.name for path in Path(tmp_path).iterdir()]
    assert "preprocessor_config.json" in names or "processor_config.json" in names
    scaling, problems = processor_scaling(tmp_path)
    assert problems == [] and scaling is not None
