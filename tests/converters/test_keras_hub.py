"""keras-hub: archives and preset folders against the library itself; mixed padding refused."""

import numpy as np
import pytest
from keras_cv_networks import V2_STAGES
from keras_hub_networks import SIDE, STD, VARIANT, backbone, classifier, scaled
from keras_oracles import forget_names, pixels, randomise, relative_error

from converters import convert
from efn_compose.arch import arch_spec
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

pytest.importorskip("keras_hub")
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def model():
    network = classifier(backbone())
    randomise(network, scaled(pixels(seed=1, count=8)))
    return network


@pytest.mark.parametrize("form", ["archive", "preset"])
def test_archive_and_preset_give_the_librarys_logits(model, tmp_path, form):
    if form == "archive":
        path = tmp_path / "net.keras"
        model.save(path)
    else:
        model.save_to_preset(str(tmp_path / "preset"))
        path = tmp_path / "preset" / "model.weights.h5"
    conversion = convert(path)
    donor = conversion.donor
    assert (conversion.report.dialect, donor.spec) == ("keras_hub", arch_spec(VARIANT))
    assert (donor.conventions.padding, donor.conventions.bn_epsilon) == ("symmetric", 1e-5)
    assert donor.conventions.preprocessing.std == pytest.approx(STD * 255, rel=1e-6)
    if form == "preset":
        assert any("task.weights.h5" in note for note in conversion.report.notes)
    logits = donor.build(input_shape=(SIDE, SIDE, 3))(donor.preprocess(pixels()), training=False)
    assert relative_error(logits, model(scaled(pixels()), training=False)) < 1e-4


def test_a_bare_weight_file_needs_its_preset_named(model, tmp_path):
    model.save(tmp_path / "net.keras")
    whole = convert(tmp_path / "net.keras").donor
    model.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(AmbiguousCheckpointError, match="efficientnet_b0_ra_imagenet"):
        convert(tmp_path / "net.weights.h5")
    model.save_weights(tmp_path / "numbered.weights.h5")
    forget_names(tmp_path / "numbered.weights.h5")
    with pytest.raises(AmbiguousCheckpointError, match="efficientnet_b0_ra_imagenet"):
        convert(tmp_path / "numbered.weights.h5")
    for preset, mean in (
        ("efficientnet_b0_ra_imagenet", 0.485 * 255),
        ("efficientnet_b0_ra4_e3600_r224_imagenet", 127.5),
    ):
        donor = convert(tmp_path / "numbered.weights.h5", arch=preset).donor
        assert donor.conventions.preprocessing.mean[0] == pytest.approx(mean)
        assert donor.conventions.padding == "symmetric"
        # Found by order, the tensors are those of the archive.
        for name, values in whole.tensors.items():
            np.testing.assert_array_equal(donor.tensors[name], values)


def test_epsilon_and_activation_come_from_the_configuration(tmp_path):
    network = backbone(batch_norm_epsilon=2e-4, activation="relu")
    randomise(network, scaled(pixels(seed=1, count=8)))
    classifier(network).save(tmp_path / "net.keras")
    donor = convert(tmp_path / "net.keras").donor.without_head()
    assert (donor.conventions.bn_epsilon, donor.conventions.activation) == (2e-4, "relu")
    ours = donor.build(input_shape=(SIDE, SIDE, 3), include_top=False)
    features = ours(donor.preprocess(pixels()), training=False)
    assert relative_error(features, network(scaled(pixels()), training=False)) < 2e-4


def test_networks_that_mix_paddings_are_refused_by_name(tmp_path):
    stages = {name: value for name, value in V2_STAGES.items() if name != "stackwise_conv_types"}
    network = backbone(
        **stages,
        stackwise_width_coefficients=[0.1] * 6,
        stackwise_depth_coefficients=[0.3] * 6,
        stackwise_block_types=["fused"] * 3 + ["unfused"] * 3,
        stackwise_nores_option=[False] * 6,
        stackwise_force_input_filters=[0] * 6,
    )
    network.save(tmp_path / "net.keras")
    with pytest.raises(ConversionError, match="composite blocks"):
        convert(tmp_path / "net.keras")


def test_a_projection_activation_is_refused_by_name(tmp_path):
    backbone(projection_activation="swish").save(tmp_path / "net.keras")
    with pytest.raises(ConversionError, match="projection_activation='swish'"):
        convert(tmp_path / "net.keras")
