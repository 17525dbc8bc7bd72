"""keras.applications and tf_keras.applications, against the libraries themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_applications_networks import MEAN, SIDE, STD, V1, V2, build, set_normalization, synthetic
from keras_oracles import pixels, randomise, relative_error

from converters import convert
from converters.keras_applications import DIALECT
from efn_compose.arch import arch_spec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError

pytestmark = pytest.mark.parity


@dataclass
class Saved:
    """A library's network, its files by container, its logits."""

    model: Any
    files: dict[str, Path]
    logits: np.ndarray


def save(name: str, variant: str, folder: Path) -> Saved:
    model = build(name, variant)
    randomise(model, pixels(seed=1, count=8))
    files = {
        "keras-weights": folder / "net.weights.h5",
        "h5-model": folder / "net.h5",
        "keras-zip": folder / "net.keras",
    }
    model.save_weights(files["keras-weights"])
    model.save(files["h5-model"])
    model.save(files["keras-zip"])
    if name == "tf_keras":
        files["h5-weights"] = folder / "legacy.h5"
        files["tf-checkpoint"] = folder / "variables"
        model.save_weights(str(files["h5-weights"]))
        model.save_weights(str(files["tf-checkpoint"]))
    if variant == V1:
        files["tf-saved-model"] = folder / "saved"
        if name == "tf_keras":
            # Traces of single layers take long; test_keras_user_heads.py reads a file with them.
            model.save(str(files["tf-saved-model"]), save_format="tf", save_traces=False)
        else:
            model.export(str(files["tf-saved-model"]), verbose=False)
    return Saved(model, files, np.asarray(model(pixels(), training=False)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[tuple[str, str], Saved]:
    return {
        (name, variant): save(name, variant, tmp_path_factory.mktemp(f"{name}-{variant}"))
        for name in ("keras", "tf_keras")
        for variant in (V1, V2)
    }


@pytest.mark.parametrize("variant", [V1, V2])
@pytest.mark.parametrize("name", ["keras", "tf_keras"])
def test_every_container_gives_the_librarys_logits(saved, name, variant):
    oracle = saved[name, variant]
    model = first = None
    for container, path in oracle.files.items():
        conversion = convert(path, arch=None if variant == V1 else V2)
        donor = conversion.donor
        assert conversion.report.container == container
        assert (donor.spec, donor.classes) == (arch_spec(variant), 7)
        scaling = donor.conventions.preprocessing
        assert scaling.mean == pytest.approx(np.array(MEAN) * 255, rel=1e-6)
        assert scaling.std == pytest.approx(np.array(STD) * 255, rel=1e-6)
        if model is None:
            model, first = donor.build(input_shape=(SIDE, SIDE, 3)), donor
            logits = model(donor.preprocess(pixels()), training=False)
            assert relative_error(logits, oracle.logits) < 1e-4
        # Every further container holds the same bits.
        for key, values in donor.tensors.items():
            np.testing.assert_array_equal(values, first.tensors[key], err_msg=f"{container} {key}")


@pytest.mark.parametrize("variant", [V1, V2])
def test_structure_is_exact_in_float64_at_even_odd_and_non_square_sizes(variant, tmp_path):
    import keras

    from efn_compose.models.stepwise import StepwiseNetwork

    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    try:
        # The mixture of both, and V2-S, are in test_keras_verify.py.
        for height, width in ((64, 64), (49, 65)):
            # The library holds scaling constants in float32; leave them out of the comparison.
            options = {"include_preprocessing": False} if variant == V2 else {}
            model = build("keras", variant, (height, width, 3), **options)
            if variant == V1:
                set_normalization(model, np.zeros(3), np.ones(3))
            if (height, width) == (64, 64):
                randomise(model, pixels(seed=1, count=8).astype("float64"))
                weights = model.get_weights()
                model.save_weights(tmp_path / "net.weights.h5")
                donor = convert(tmp_path / "net.weights.h5", arch=variant).donor
            else:
                model.set_weights(weights)
                for layer in model.layers:
                    if type(layer).__name__ == "Normalization":
                        layer.finalize_state()
            images = pixels(height, width).astype("float64")
            inputs = images * float(np.float32(1 / 255)) if variant == V1 else images
            ours = StepwiseNetwork.of(donor, "float64").run(inputs)
            assert relative_error(ours, model(images, training=False)) < 1e-9, (height, width)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_floatx("float32")


@pytest.fixture(scope="module")
def backbone() -> Any:
    return build("keras", V1, include_top=False)


def test_fine_tuned_model_keeps_its_own_head(backbone, tmp_path):
    import keras

    model = keras.Sequential(
        [
            backbone,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(5, name="diagnosis"),
        ]
    )
    model.build((None, SIDE, SIDE, 3))
    randomise(model, pixels(seed=1, count=8))
    set_normalization(backbone, MEAN, np.square(STD))
    wanted = np.asarray(model(pixels(), training=False))
    for file in ("net.h5", "net.keras"):
        model.save(tmp_path / file)
    model.save_weights(tmp_path / "net.weights.h5")
    built = None
    for file in ("net.h5", "net.keras", "net.weights.h5"):
        conversion = convert(tmp_path / file)
        assert conversion.report.classes == 5
        assert any("diagnosis" in note for note in conversion.report.notes)
        built = built or conversion.donor.build(input_shape=(SIDE, SIDE, 3))
        logits = built(conversion.donor.preprocess(pixels()), training=False)
        assert relative_error(logits, wanted) < 1e-4


def test_a_deeper_head_of_the_users_is_left_out_and_reported(backbone, tmp_path):
    import keras

    model = keras.Sequential(
        [
            backbone,
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(5, name="diagnosis"),
        ]
    )
    model.build((None, SIDE, SIDE, 3))
    model.save(tmp_path / "net.keras")
    report = convert(tmp_path / "net.keras").report
    assert report.classes is None
    assert {name.split("/")[0] for name, reason in report.mapping.ignored if "own" in reason} == {
        "hidden",
        "diagnosis",
    }


def imagenet_config(last_rescaling: bool) -> dict[str, Any]:
    """Return the head of the configuration that weights="imagenet" and weights=path make."""

    def layer(class_name: str, name: str, **fields: Any) -> dict[str, Any]:
        return {"class_name": class_name, "config": {"name": name, **fields}}

    layers = [
        layer("InputLayer", "input_layer"),
        layer("Rescaling", "rescaling", scale=1 / 255, offset=0.0),
        layer("Normalization", "normalization", axis=[3], mean=None, variance=None),
    ]
    if last_rescaling:
        scale = [float(1 / np.sqrt(value)) for value in STD]
        layers.append(layer("Rescaling", "rescaling_1", scale=scale, offset=0.0))
    layers.append(layer("Conv2D", "stem_conv"))
    return {"class_name": "Functional", "config": {"name": "b0", "layers": layers}}


@pytest.mark.parametrize(
    ("raw", "std"),
    [
        # What the layer means: variance is the square of the deviation.
        (synthetic(np.square(STD)), np.array(STD) * 255),
        # Hosted file: the variance slot holds the deviation, the library divides once more.
        (synthetic(STD), np.array(STD) * 255),
        (synthetic(STD, model_config=imagenet_config(True)), np.array(STD) * 255),
        (synthetic(STD, layer_classes={"rescaling": 2}), np.array(STD) * 255),
        # Hosted file loaded by path and saved again: the second division is missing.
        (synthetic(STD, model_config=imagenet_config(False)), np.sqrt(STD) * 255),
        (synthetic(STD, layer_classes={"rescaling": 1}), np.sqrt(STD) * 255),
        # Never adapted.
        (synthetic(np.ones(3), mean=np.zeros(3)), np.full(3, 255.0)),
    ],
)
def test_the_input_states_of_v1_are_told_apart(raw, std):
    resolved = DIALECT.resolve(raw, arch_spec("b0"), Request())
    assert resolved.conventions.preprocessing.std == pytest.approx(std, rel=1e-5)
    assert "preprocessing" in resolved.sources


def test_v2_scaling_and_its_absence_are_read_from_the_configuration(saved, tmp_path):
    model = build("keras", V2, name="efficientnetv2-s")
    model.save(tmp_path / "s.keras")
    scaling = convert(tmp_path / "s.keras").donor.conventions.preprocessing
    assert scaling.mean == pytest.approx((128.0,) * 3)
    assert scaling.std == pytest.approx((128.0,) * 3)
    model = build("keras", V2, include_preprocessing=False)
    model.save(tmp_path / "none.keras")
    with pytest.raises(AmbiguousCheckpointError, match="include_preprocessing=False"):
        convert(tmp_path / "none.keras")
    # A weights file lists its layers: the same question, and the same answer.
    model.save_weights(tmp_path / "none.weights.h5")
    with pytest.raises(AmbiguousCheckpointError, match="include_preprocessing=False"):
        convert(tmp_path / "none.weights.h5")
    usual = convert(saved["keras", V2].files["keras-weights"]).donor.conventions.preprocessing
    assert usual.std == pytest.approx(np.array(STD) * 255)
    donor = convert(tmp_path / "none.keras", arch=V2).donor
    assert donor.conventions.preprocessing.std == pytest.approx(np.array(STD) * 255)


@pytest.mark.parametrize("variant", ["b0", "b7", "l2", "v2-s", "v2-xl", "v2-b3"])
def test_every_published_network_is_recognised_from_shapes(variant):
    spec = arch_spec(variant)
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, 1000)}
    tensors = {
        row.foreign: RawTensor(row.foreign, shapes[row.canonical], "float32", lambda: None)
        for row in DIALECT.rows(spec, 1000, None)
    }
    raw = RawCheckpoint(Path("net.h5"), "h5-weights", tensors)
    assert DIALECT.spec_from(raw, Request()) == spec
