"""Official TensorFlow checkpoints, written by the official code with its own logits beside them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from empty_checkpoints import raw_of
from repository import RECORDED

from converters import convert
from converters.tf_official import DIALECT
from efn_compose.arch import arch_spec, inventory
from efn_compose.checkpoints.containers.tf_checkpoint import read
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import (
    AmbiguousCheckpointError,
    CheckpointError,
    ConversionError,
    UnmappedTensorError,
    UnreadableCheckpointError,
)

SAMPLES = ("tpu_v1_tiny", "automl_v2_tiny")


def sample(name: str) -> Path:
    return RECORDED / name / "model.ckpt"


def official_shapes(variant: str) -> dict[str, tuple[int, ...]]:
    """Return a synthetic checkpoint's names and shapes, as the official code would name them."""
    spec = arch_spec(variant)
    rows = DIALECT.rows(spec, 1000, None)
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, 1000)}
    return {f"efficientnet/{row.foreign}": shapes[row.canonical] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_logits_equal_the_official_codes_own_for_both_sets(name):
    with np.load(RECORDED / name / "reference.npz") as file:
        reference = dict(file)
    converted = {ema: convert(sample(name), ema=ema).donor for ema in (True, False)}
    model = converted[True].build(input_shape=(64, 64, 3))
    for ema, wanted, other in ((True, "ema", "raw"), (False, "raw", "ema")):
        from efn_compose.models import assign_weights

        assign_weights(model, converted[ema].spec, converted[ema].tensors, 20)
        logits = np.asarray(model(reference["images"], training=False))
        spread = reference[f"logits_{wanted}"].std()
        assert np.abs(logits - reference[f"logits_{wanted}"]).max() < 1e-4 * spread
        # The gate can tell the two sets apart.
        assert np.abs(logits - reference[f"logits_{other}"]).max() > 0.1 * spread


@pytest.mark.parametrize(
    ("name", "arch"), [("automl_v2_object_tiny", "v2-b-w0.1-d0.3"), ("automl_v1_object_tiny", None)]
)
def test_an_object_based_checkpoint_of_the_official_code_gives_its_logits(name, arch):
    """TF2's `save_weights` files variables by attribute; the object graph holds their names."""
    from efn_compose.models.stepwise import StepwiseNetwork

    path = sample(name)
    if arch is not None:
        with pytest.raises(AmbiguousCheckpointError, match="--arch"):
            convert(path)  # So narrow that neighbouring stages look alike.
    conversion = convert(path, arch=arch)
    assert not conversion.report.mapping.ignored
    assert conversion.donor.provenance["ema"] is None
    with np.load(path.parent / "reference.npz") as reference:
        logits = StepwiseNetwork.of(conversion.donor).run(reference["images"]).numpy()
        error = np.abs(logits - reference["logits"]).max() / reference["logits"].std()
    assert error < 1e-4


@pytest.mark.parametrize(
    ("name", "family", "repeats"),
    [
        ("tpu_v1_tiny", "b", (1, 1, 1, 2, 2, 2, 1)),
        ("automl_v2_tiny", "v2-b", (1, 1, 1, 2, 2, 4)),
    ],
)
def test_the_network_is_read_from_the_tensors(name, family, repeats):
    conversion = convert(sample(name))
    spec = conversion.donor.spec
    assert (spec.family, spec.stage_repeats, conversion.report.classes) == (family, repeats, 20)
    assert conversion.report.mapping.missing == ()
    # The count of steps, which is named where it is seen first.
    (reason,) = (reason for _, reason in conversion.report.mapping.ignored)
    assert reason == "counter, kept by the training"
    assert conversion.donor.provenance["ema"] is True


def test_a_published_network_needs_the_tag_of_its_release():
    raw = raw_of(official_shapes("b0"))
    prepared = DIALECT.prepare(raw, Request()).raw
    spec = DIALECT.spec_from(prepared, Request())
    assert spec == arch_spec("b0")
    with pytest.raises(AmbiguousCheckpointError, match=r"advprop.*inception"):
        DIALECT.resolve(prepared, spec, Request())
    for tag, mean in (("advprop", 127.5), ("ns", 0.485 * 255)):
        request = Request(arch=f"efficientnet-b0.{tag}")
        resolved = DIALECT.resolve(prepared, spec, request)
        assert resolved.conventions.preprocessing.mean[0] == pytest.approx(mean)
        assert tag in resolved.sources["preprocessing"]


@pytest.mark.parametrize("variant", ["b7", "l2", "lite2", "v2-s", "v2-m", "v2-xl", "v2-b3"])
def test_every_published_network_is_recognised_from_shapes(variant):
    prepared = DIALECT.prepare(raw_of(official_shapes(variant)), Request()).raw
    assert DIALECT.spec_from(prepared, Request()) == arch_spec(variant)


def test_background_class_and_21k_are_read_from_the_width_of_the_head():
    shapes = official_shapes("l2") | {"efficientnet/head/dense/kernel": (5504, 1001)}
    prepared = DIALECT.prepare(raw_of(shapes), Request()).raw
    resolved = DIALECT.resolve(prepared, arch_spec("l2"), Request())
    assert resolved.conventions.class_offset == 1
    shapes = official_shapes("v2-b1") | {"efficientnet/head/dense/kernel": (1280, 21843)}
    prepared = DIALECT.prepare(raw_of(shapes), Request()).raw
    resolved = DIALECT.resolve(prepared, arch_spec("v2-b1"), Request())
    assert resolved.conventions.preprocessing.mean == (128.0, 128.0, 128.0)


def test_edgetpu_and_condconv_are_refused_by_name():
    condconv = official_shapes("b0") | {"efficientnet/blocks_9/condconv_kernel": (4, 100)}
    assert "CondConv" in DIALECT.refuse(raw_of(condconv))
    edge = {name.replace("efficientnet", "efficientnet-edgetpu-S"): shape
            for name, shape in official_shapes("es").items()}  # fmt: skip
    assert "EdgeTPU" in DIALECT.refuse(raw_of(edge))
    # Without the telling scope the missing squeeze-and-excite gives it away.
    assert "EdgeTPU" in DIALECT.refuse(raw_of(official_shapes("es")))
    for variant in ("b0", "lite0", "v2-s"):
        assert DIALECT.refuse(raw_of(official_shapes(variant))) is None


def test_optimizer_slots_are_ignored_and_unknown_tensors_are_not():
    from open_checkpoints import convert_raw

    shapes = official_shapes("lite0")
    slots = {f"{name}/RMSProp": shape for name, shape in shapes.items()}
    report = convert_raw(raw_of(shapes | slots), DIALECT, Request()).report
    assert {reason for _, reason in report.mapping.ignored} == {"optimizer slot: training state"}
    with pytest.raises(UnmappedTensorError, match="surprise"):
        convert_raw(raw_of(shapes | {"efficientnet/head/surprise": (3,)}), DIALECT, Request())


def test_a_set_with_some_averages_missing_is_refused(tmp_path):
    import tensorflow as tf

    values = {"net/stem/conv2d/kernel": 1.0, "net/stem/bn/moving_mean": 2.0}
    values["net/stem/conv2d/kernel/ExponentialMovingAverage"] = 3.0
    path = tmp_path / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant([value]) for value in values.values()],
    )
    with pytest.raises(UnreadableCheckpointError, match="moving_mean"):
        read(path)
    raw = read(path, ema=False)
    assert raw.metadata["ema"] is False
    assert raw.tensors["net/stem/conv2d/kernel"].load().tolist() == [1.0]


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_truncated_or_missing_file_is_an_error_that_names_it(tmp_path, part):
    for file in (RECORDED / "tpu_v1_tiny").glob("model.ckpt.*"):
        shutil.copy(file, tmp_path / file.name)
    target = tmp_path / f"model.ckpt.{part}"
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ConversionError, CheckpointError), match=r"model\.ckpt"):
        convert(tmp_path / "model.ckpt")
    target.unlink()
    with pytest.raises(UnreadableCheckpointError, match=r"model\.ckpt"):
        convert(tmp_path / "model.ckpt")


def test_a_wrong_arch_lists_what_differs():
    with pytest.raises(ConversionError, match="stage_channels"):
        convert(sample("tpu_v1_tiny"), arch="b-w0.3-d0.4")
    spec = convert(sample("tpu_v1_tiny"), arch="b-w0.25-d0.4").donor.spec
    assert dataclasses.replace(spec, depth=0.0).stage_repeats == (1, 1, 1, 2, 2, 2, 1)
