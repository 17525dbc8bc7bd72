"""TF checkpoints and SavedModels as containers: names, sets, and damaged or lying files."""

from pathlib import Path

import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import detect_container, read_checkpoint
from efn_compose.checkpoints.containers.tf_checkpoint import read
from efn_compose.errors import CheckpointError, UnreadableCheckpointError, UnsafeCheckpointError


def save_names(path: Path, values: dict[str, np.ndarray]) -> Path:
    """Write a name-based checkpoint, as TF1 does."""
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )
    return path


def small_module(seed: float = 0.0):
    """Return a trackable object with two variables, in a list and by attribute."""
    import tensorflow as tf

    module = tf.Module()
    module.first = tf.Variable([seed, 1.0], name="stem_conv/kernel")
    module.others = [tf.Variable([[seed + 2.0]], name="top_conv/kernel")]
    return module


def test_names_and_values_of_a_name_based_checkpoint(tmp_path):
    path = save_names(tmp_path / "m.ckpt", {"a/kernel": np.float32([1, 2]), "step": np.int64(7)})
    assert detect_container(path) == "tf-checkpoint"
    assert detect_container(f"{path}.index") == "tf-checkpoint"
    raw = read_checkpoint(f"{path}.index")
    assert raw.tensors["a/kernel"].load().tolist() == [1, 2]
    assert raw.tensors["step"].shape == ()
    assert raw.metadata["ema"] is None


def test_object_based_checkpoints_go_by_the_variables_full_names(tmp_path):
    import tensorflow as tf

    tf.train.Checkpoint(model=small_module()).write(str(tmp_path / "m"))
    raw = read(tmp_path / "m")
    assert raw.tensors["stem_conv/kernel"].load().tolist() == [0, 1]
    assert raw.tensors["top_conv/kernel"].load().tolist() == [[2]]


def test_two_networks_in_one_checkpoint_are_refused(tmp_path):
    import tensorflow as tf

    tf.train.Checkpoint(one=small_module(), two=small_module(5.0)).write(str(tmp_path / "m"))
    with pytest.raises(UnreadableCheckpointError, match="more than one network"):
        read(tmp_path / "m")


def test_averages_that_an_optimizer_keeps_are_not_mixed_in(tmp_path):
    import tf_keras

    module = small_module()
    optimizer = tf_keras.optimizers.legacy.SGD(0.1, momentum=0.9)
    optimizer.apply_gradients([(np.float32([1, 1]), module.first)])
    import tensorflow as tf

    tf.train.Checkpoint(model=module, optimizer=optimizer).write(str(tmp_path / "momentum"))
    raw = read(tmp_path / "momentum")
    assert any("optimizer slots ignored" in note for note in raw.notes)
    assert raw.tensors["stem_conv/kernel"].load() == pytest.approx([-0.1, 0.9])

    # google/automl's TF2 trainer keeps moving averages as a slot of this name.
    optimizer.add_slot(module.first, "average")
    tf.train.Checkpoint(model=module, optimizer=optimizer).write(str(tmp_path / "average"))
    with pytest.raises(UnreadableCheckpointError, match="--raw"):
        read(tmp_path / "average")
    raw = read(tmp_path / "average", ema=False)
    assert raw.tensors["stem_conv/kernel"].load() == pytest.approx([-0.1, 0.9])


def test_only_the_variables_of_a_savedmodel_are_opened(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(small_module(), str(tmp_path / "saved"))
    # Were the program read, this would fail.
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"not a program")
    assert detect_container(tmp_path / "saved") == "tf-saved-model"
    raw = read_checkpoint(tmp_path / "saved")
    assert raw.tensors["stem_conv/kernel"].load().tolist() == [0, 1]
    assert len(raw.sha256) == 64


def test_an_index_that_declares_more_than_the_data_holds_is_refused(tmp_path):
    big = {"big/kernel": np.zeros((100, 100), np.float32)}
    path = save_names(tmp_path / "m.ckpt", big)
    data = tmp_path / "m.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(
        UnsafeCheckpointError, match="declares 40000 bytes, the data files hold 100"
    ):
        read(path)


def test_missing_shards_are_listed(tmp_path):
    path = save_names(tmp_path / "m.ckpt", {"a/kernel": np.float32([1, 2])})
    data = tmp_path / "m.ckpt.data-00000-of-00001"
    data.rename(tmp_path / "m.ckpt.data-00001-of-00003")
    with pytest.raises(UnreadableCheckpointError) as error:
        read(path)
    assert "data-00000-of-00003" in str(error.value)
    assert "data-00002-of-00003" in str(error.value)
    assert "data-00001-of-00003" not in str(error.value).replace("m.ckpt.data-00001-of-00003", "")


@pytest.mark.parametrize("position", [0.2, 0.5, 0.9])
def test_a_flipped_byte_is_found(tmp_path, position):
    path = save_names(tmp_path / "m.ckpt", {"a/kernel": np.ones((10, 10), np.float32)})
    data = tmp_path / "m.ckpt.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[int(len(damaged) * position)] ^= 0xFF
    data.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"a/kernel"):
        read(path).tensors["a/kernel"].load()


def test_a_folder_without_a_savedmodel_says_what_to_name(tmp_path):
    with pytest.raises(UnreadableCheckpointError, match=r"prefix .*\(model\.ckpt\)\.$"):
        read_checkpoint(tmp_path)
    for name in ("trainings/b0/last.h5", "trainings/b0/best.h5", "z.pth", "trainings/b1/last.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    words = r"holds z\.pth, trainings/b0/best\.h5, trainings/b0/last\.h5 and 1 more\.$"
    with pytest.raises(UnreadableCheckpointError, match=words):
        read_checkpoint(tmp_path)
