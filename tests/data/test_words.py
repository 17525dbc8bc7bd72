"""Words that say nothing, and two words for one number, in every source that has columns."""

import numpy as np
import pytest
from shard_files import encoded, write_parquet, write_tfrecord

from efn_compose.data import load_table
from efn_compose.errors import DataError

COUNT = 9


@pytest.mark.parametrize("word", ["nan", "NA", "None", ""])
def test_words_for_a_missing_patient_are_no_patient(tmp_path, word):
    patients = [word if n in (2, 5) else f"p{n}" for n in range(COUNT)]
    write_parquet(tmp_path / "a.parquet", range(COUNT), plain=True, patient=patients)
    images, labels = np.zeros((COUNT, 8, 8, 3), np.uint8), np.arange(COUNT) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels, groups=patients)
    if word == "None":  # a name like any other
        for kind in ("parquet", "npz"):
            assert "None" in load_table(f"{kind}:{tmp_path / 'a'}.{kind}").group_names
        return
    with pytest.raises(DataError, match="2 of 9 images have no patient, the first is image 2"):
        load_table(f"parquet:{tmp_path / 'a.parquet'}")
    with pytest.raises(DataError, match="2 groups say nothing"):
        load_table(f"npz:{tmp_path / 'a.npz'}")


def test_one_number_in_two_spellings_is_questioned_in_every_source(tmp_path):
    patients = ["1", "1.0", *map(str, range(2, COUNT))]
    write_parquet(tmp_path / "a.parquet", range(COUNT), plain=True, patient=patients)
    write_tfrecord(
        tmp_path / "a.tfrecord",
        range(COUNT),
        lambda n: n % 2,
        patient=lambda n: patients[n].encode(),
    )
    images, labels = np.zeros((COUNT, 8, 8, 3), np.uint8), np.arange(COUNT) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels, groups=patients)
    for kind in ("parquet", "tfrecord", "npz"):
        with pytest.raises(DataError, match="would be two patients"):
            load_table(f"{kind}:{tmp_path / 'a'}.{kind}")


def test_an_npz_label_of_minus_one_is_none_where_labels_are_not_needed(tmp_path):
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([7, -1, 9, -1])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    found = load_table(f"npz:{tmp_path / 'a.npz'}", needs_labels=False)
    assert found.labels.tolist() == [0, -1, 1, -1] and found.class_names == ("7", "9")


def test_whole_tfrecords_are_not_called_damaged(tmp_path):
    import tensorflow as tf

    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, range(4), lambda n: n % 2, patient=lambda n: n / 2)
    with pytest.raises(DataError, match="the patient 'patient' is float"):
        load_table(f"tfrecord:{path}")
    two = tf.train.Feature(int64_list=tf.train.Int64List(value=[0, 1]))
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded(1)]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": image, "label": two}))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(DataError, match="'label' is not one integer in every record") as caught:
        load_table(f"tfrecord:{path}")
    assert "Copy it again" not in str(caught.value)
