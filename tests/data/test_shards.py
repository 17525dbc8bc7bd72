"""Images inside of TFRecord, Parquet and tar files, written by the libraries that own these formats."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from shard_files import encoded, write_parquet, write_tfrecord

from efn_compose.data import load_table
from efn_compose.data.cache.images import cached_images
from efn_compose.data.decoding import decode
from efn_compose.data.sources import parquet
from efn_compose.errors import ConfigError, DataError

COUNT = 9


def write_tar(path, samples):
    with tarfile.open(path, "w") as file:
        for name, content in samples:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def write_samples(path, numbers, label=lambda number: str(number % 2)):
    suffix = ("png", "jpg", "webp")
    samples = []
    for number in numbers:
        samples.append((f"{number:03}.{suffix[number % 3]}", encoded(number)))
        if label:
            samples.append((f"{number:03}.cls", label(number).encode()))
    write_tar(path, samples)


def check(table, labels=None):
    """Check pixels, alone and from the cache, and names of classes."""
    wanted = [20 * number for number in range(COUNT)]
    assert [int(np.rint(table.images[n].mean())) for n in range(len(table))] == wanted
    found = [table.class_names[label] if label >= 0 else None for label in table.labels]
    assert found == (labels or [str(number % 2) for number in range(COUNT)])
    again = pickle.loads(pickle.dumps(table.images))
    assert np.array_equal(again[4], table.images[4])


@pytest.fixture
def shards(tmp_path):
    """Return a function that writes two shards with a writer of the format."""

    def write(writer, suffix, **options):
        writer(tmp_path / f"a-0.{suffix}", range(5), **options)
        writer(tmp_path / f"a-1.{suffix}", range(5, COUNT), **options)
        return tmp_path

    return write


@pytest.mark.slow
def test_tfrecord(shards):
    folder = shards(
        write_tfrecord, "tfrecord", label=lambda n: n % 2, patient=lambda n: f"p{n // 3}".encode()
    )
    for path in ("a-*.tfrecord", ""):
        table = load_table(f"tfrecord:{folder / path}")
        check(table)
    assert [table.group_name(n) for n in range(COUNT)] == [f"p{n // 3}" for n in range(COUNT)]
    found = cached_images(table.images, np.arange(COUNT), 8, folder=folder / "cache")
    assert np.rint(found[:].mean(axis=(1, 2, 3))).tolist() == [20 * n for n in range(COUNT)]
    assert "byte" in table.image_name(0)


def test_tfrecord_with_words_other_names_and_missing_labels(shards):
    words = {0: b"cat", 1: b"dog"}
    folder = shards(
        write_tfrecord, "tfrec", image="image/encoded", label=lambda n: words.get(n % 3)
    )
    source = f"tfrecord:{folder / '*.tfrec'}"
    labels = [("cat", "dog", None)[n % 3] for n in range(COUNT)]
    check(load_table(source, needs_labels=False), labels)
    with pytest.raises(DataError, match="3 of 9 images have no label, the first is image 2"):
        load_table(source)
    with pytest.raises(DataError) as caught:
        load_table(source, ["image=picture", "label=class"])
    assert "nothing for the image: expected picture" in str(caught.value)
    assert "nothing for the label: expected class" in str(caught.value)
    assert "present: image/encoded (bytes), label (bytes)" in str(caught.value)
    with pytest.raises(DataError, match="'colour=x'; allowed: image=NAME"):
        load_table(source, ["colour=x"])


def test_two_images_of_one_record_are_two_in_the_cache(tmp_path):
    import tensorflow as tf

    def feature(number):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded(number)]))

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for number in range(3):
            eyes = {"left": feature(number), "right": feature(number + 3)}
            example = tf.train.Example(features=tf.train.Features(feature=eyes))
            writer.write(example.SerializeToString())
    for name, first in (("left", 0), ("right", 3)):
        source = f"tfrecord:{tmp_path / 'a.tfrecord'}"
        table = load_table(source, [f"image={name}"], needs_labels=False)
        found = cached_images(table.images, np.arange(3), 8, folder=tmp_path / "cache")
        grey = np.rint(found[:].mean(axis=(1, 2, 3)))
        assert grey.tolist() == [20 * (first + number) for number in range(3)]


def test_a_tfrecord_without_images_changes_nothing_of_the_others(tmp_path):
    for number in range(2):
        write_tfrecord(
            tmp_path / f"{number}.tfrecord",
            range(number, COUNT, 2),
            label=lambda n: n % 2,
            patient=lambda n: 2**60 + n,
        )
    write_tfrecord(tmp_path / "2.tfrecord", [])
    table = load_table(f"tfrecord:{tmp_path}")
    assert table.class_names == ("0", "1")
    assert sorted(table.group_names) == [str(2**60 + n) for n in range(COUNT)]


def test_words_that_are_empty_are_missing(tmp_path):
    words = [("cat", "dog", "")[n % 3] for n in range(COUNT)]
    write_parquet(tmp_path / "a.parquet", range(COUNT), label=lambda n: words[n], plain=True)
    write_tfrecord(tmp_path / "a.tfrecord", range(COUNT), label=lambda n: words[n].encode())
    for source in (f"parquet:{tmp_path / 'a.parquet'}", f"tfrecord:{tmp_path / 'a.tfrecord'}"):
        with pytest.raises(DataError, match="3 of 9 images have no label, the first is image 2"):
            load_table(source)
        check(load_table(source, needs_labels=False), [word or None for word in words])


def test_a_missing_patient_is_said_to_be_one(tmp_path):
    patients = [None if n == 4 else f"p{n}" for n in range(COUNT)]
    write_parquet(tmp_path / "a.parquet", range(COUNT), plain=True, patient=patients)
    with pytest.raises(DataError, match="1 of 9 images have no patient, the first is image 4"):
        load_table(f"parquet:{tmp_path / 'a.parquet'}")


def test_tfrecord_faults(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, range(4), label=lambda n: n / 2)
    with pytest.raises(DataError, match=r"the label 'label' is float\. A class is an integer"):
        load_table(f"tfrecord:{path}")
    write_tfrecord(path, range(4), label=lambda n: n % 2)
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(DataError, match=r"a\.tfrecord: .*truncated"):
        load_table(f"tfrecord:{path}")
    path.write_bytes(content[:-30] + b"?" + content[-29:])
    with pytest.raises(DataError, match=r"a\.tfrecord: .*wrong checksum.*Copy it again"):
        load_table(f"tfrecord:{path}")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="no records in it"):
        load_table(f"tfrecord:{path}")
    with pytest.raises(DataError, match="no such file, and no files of such a pattern"):
        load_table(f"tfrecord:{tmp_path}/b-*.tfrecord")


@pytest.mark.slow
def test_parquet_as_hugging_face_writes_it(shards):
    folder = shards(write_parquet, "parquet", names=["cat", "dog"])
    table = load_table(f"parquet:{folder / 'a-*.parquet'}")
    assert table.class_names == ("cat", "dog")
    check(table, [("cat", "dog")[n % 2] for n in range(COUNT)])
    found = cached_images(table.images, np.arange(COUNT), 8, folder=folder / "cache")
    assert np.rint(found[:].mean(axis=(1, 2, 3))).tolist() == [20 * n for n in range(COUNT)]


def test_parquet_with_words_plain_bytes_patients_and_missing_labels(tmp_path):
    path = tmp_path / "a.parquet"
    labels = [("cat", "dog", None)[n % 3] for n in range(COUNT)]
    write_parquet(
        path,
        range(COUNT),
        label=lambda n: labels[n],
        plain=True,
        patient=[n // 3 for n in range(COUNT)],
    )
    table = load_table(f"parquet:{path}", needs_labels=False)
    check(table, labels)
    assert [table.group_name(n) for n in range(COUNT)] == [str(n // 3) for n in range(COUNT)]
    with pytest.raises(DataError, match="3 of 9 images have no label"):
        load_table(f"parquet:{path}")
    write_parquet(path, range(COUNT), label=lambda n: n % 3 - 1, names=["cat", "dog"])
    labels = [(None, "cat", "dog")[n % 3] for n in range(COUNT)]
    check(load_table(f"parquet:{path}", needs_labels=False), labels)


def test_parquet_columns_that_are_no_labels_or_differ_from_file_to_file(tmp_path):
    source = f"parquet:{tmp_path}"
    write_parquet(tmp_path / "a.parquet", range(4), label=lambda n: [n])
    with pytest.raises(DataError, match=r"'label' is list<.*>, expected integers or words"):
        load_table(source)
    write_parquet(tmp_path / "a.parquet", range(4))
    write_parquet(tmp_path / "b.parquet", range(4), label=str)
    write_parquet(tmp_path / "c.parquet", range(4), label=None)
    write_parquet(tmp_path / "d.parquet", range(4), plain=True)
    with pytest.raises(DataError) as caught:
        load_table(source)
    lines = str(caught.value).splitlines()
    assert [line.split(".parquet: ")[1][:16] for line in lines if line.startswith("  -")] == [
        "label is string,", "label is missing", "image is bytes, ",
    ]  # fmt: skip


def test_a_group_of_parquet_rows_is_read_about_once_in_whatever_order_images_are_wanted(
    tmp_path, monkeypatch
):
    write_parquet(tmp_path / "a.parquet", [number % COUNT for number in range(128)])
    table, read, opened = load_table(f"parquet:{tmp_path / 'a.parquet'}"), parquet._open, []
    monkeypatch.setattr(parquet, "_open", lambda file: opened.append(file) or read(file))
    monkeypatch.setattr(decode, "usable_cores", lambda: 2)  # many threads share no four groups
    wanted = np.random.default_rng(0).permutation(128)
    found = decode.resize_images(table.images, wanted, 4, show_progress=False)
    assert (abs(found[:, 0, 0, 0].astype(int) - 20 * (wanted % COUNT)) < 3).all()
    assert len(opened) < 1.5 * (128 / 2)  # groups of two rows; 125 reads, one after another


def test_parquet_faults(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, range(4), label=lambda n: n / 2)
    with pytest.raises(DataError, match=r"the label 'label' is double\. A class is an integer"):
        load_table(f"parquet:{path}")
    with pytest.raises(
        DataError, match=r"expected diagnosis\n.*present: image \(struct.*label \(double"
    ):
        load_table(f"parquet:{path}", ["label=diagnosis"])
    write_parquet(path, range(4), names=["cat"])
    with pytest.raises(DataError, match="labels 0 to 1, but the file names 1 classes"):
        load_table(f"parquet:{path}")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"a\.parquet: not a Parquet file, or truncated"):
        load_table(f"parquet:{path}")
    write_parquet(path, range(4))
    content = path.read_bytes()
    table = load_table(f"parquet:{path}")
    path.write_bytes(content[:4] + bytes(300) + content[304:])
    with pytest.raises(DataError):
        table.images[0]


def test_tar(shards):
    folder = shards(write_samples, "tar")
    table = load_table(f"tar:{folder}")
    check(table)
    found = cached_images(table.images, np.arange(COUNT), 8, folder=folder / "cache")
    assert np.rint(found[:].mean(axis=(1, 2, 3))).tolist() == [20 * n for n in range(COUNT)]


def test_tar_with_labels_in_json_and_without_labels(tmp_path):
    path = tmp_path / "a.tar"
    samples = []
    for number in range(COUNT):
        fields = json.dumps({"diagnosis": f"d{number % 2}", "who": number // 3})
        samples += [(f"x/{number}.png", encoded(number)), (f"x/{number}.json", fields.encode())]
    write_tar(path, samples)
    table = load_table(f"tar:{path}", ["label=json.diagnosis", "patient=json.who"])
    check(table, [f"d{number % 2}" for number in range(COUNT)])
    assert [table.group_name(n) for n in range(COUNT)] == [str(n // 3) for n in range(COUNT)]
    check(load_table(f"tar:{path}", needs_labels=False), [None] * COUNT)
    with pytest.raises(DataError) as caught:
        load_table(f"tar:{path}")
    assert "no sample has a label" in str(caught.value)
    assert "present: json, png" in str(caught.value)


def test_samples_without_an_image_are_counted(tmp_path):
    samples = [("1.png", encoded(1)), ("1.cls", b"0"), ("2.png", encoded(2)), ("2.cls", b"1")]
    write_tar(tmp_path / "whole.tar", samples)
    assert load_table(f"tar:{tmp_path / 'whole.tar'}").notes == ()
    samples += [("3.gif", b"GIF"), ("3.cls", b"1"), ("4.left.jpg", encoded(4)), ("4.cls", b"0")]
    write_tar(tmp_path / "a.tar", samples)
    table = load_table(f"tar:{tmp_path / 'a.tar'}")
    assert len(table) == 2
    (note,) = table.notes
    assert note.startswith("2 samples have no file") and ".cls, .gif, .left.jpg" in note


def test_a_name_that_is_twice_in_a_tar_file_loses_no_image_silently(tmp_path):
    twice = [("0.png", encoded(1)), ("0.cls", b"1"), ("0.png", encoded(2)), ("0.cls", b"2")]
    write_tar(tmp_path / "twice.tar", twice)
    with pytest.raises(DataError, match=r"0\.png is in it twice"):
        load_table(f"tar:{tmp_path / 'twice.tar'}")


def test_tar_faults(tmp_path):
    path = tmp_path / "a.tar"
    write_samples(path, range(4), label=lambda n: f"{n / 3:.3f}")
    with pytest.raises(DataError, match="fraction"):
        load_table(f"tar:{path}")
    write_samples(path, range(4))
    content = path.read_bytes()
    path.write_bytes(content[: 512 + 20])
    with pytest.raises(DataError, match=r"a\.tar: not a tar file, compressed, or truncated"):
        load_table(f"tar:{path}")
    path.write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(DataError, match="gunzip"):
        load_table(f"tar:{path}")


def test_columns_of_a_source_without_any_are_refused(tmp_path):
    with pytest.raises(DataError, match="tfrecord:PATH"):
        load_table("digits", ["image=a"])
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"data\.folder"):
        load_table(f"tar:{tmp_path / 'a.tar'}", (), str(tmp_path))


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="pip install"):
        load_table(f"parquet:{tmp_path / 'a.parquet'}")
