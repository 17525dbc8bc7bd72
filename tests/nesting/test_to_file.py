"""Nesting into files: same weights as in memory, little memory, nothing lost when it fails."""

import dataclasses
import json
import os
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference
from verbs import run_verb

from efn_compose.donors import Donor, load_donor
from efn_compose.errors import (
    ConfigError,
    DataError,
    IncompatibleDonorsError,
    NestingError,
    RunError,
    WeightFileError,
)
from efn_compose.nesting import direct_sum, direct_sum_to_file, nest, nest_to_file
from efn_compose.nesting.progress import byte_progress
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.verify import random_pixels
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import WeightFile, atomic, write_weights


@cache
def small_donor(seed: int = 0) -> Donor:
    return float64_donor("b-w0.3-d0.3", seed=seed, side=32)


@pytest.fixture
def donor_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.h5"
    small_donor().save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("fill", ["he", "replicate", "zero"])
def test_file_and_memory_hold_the_same_tensors(donor_file, tmp_path, fill):
    images = random_pixels(6, 32)
    options = {"fill": fill, "extra_repeats": "interleaved", "positions": "random", "seed": 4}
    nest_to_file(donor_file, "b-w0.5-d0.6", tmp_path / "large.h5", images=images, **options)
    expected = nest(load_donor(donor_file), "b-w0.5-d0.6", images=images, **options)
    written = load_donor(tmp_path / "large.h5")
    assert written.fingerprint == expected.fingerprint
    assert written.provenance == expected.provenance


@pytest.mark.slow
def test_sum_file_and_second_donor_file_equal_those_made_in_memory(donor_file, tmp_path):
    other, out = tmp_path / "other.h5", tmp_path / "large.h5"
    float64_donor("b-w0.3-d0.6", seed=1, side=32).save(other)
    direct_sum_to_file([donor_file, other], "b-w1-d0.6", out)
    donors = [load_donor(donor_file), load_donor(other)]
    assert load_donor(out).fingerprint == direct_sum(*donors, "b-w1-d0.6").fingerprint
    nest_to_file(donor_file, "b-w1-d0.6", out, fill="donor", second_file=other)
    expected = nest(donors[0], "b-w1-d0.6", fill="donor", second=donors[1])
    assert load_donor(out).fingerprint == expected.fingerprint


def test_calibrated_channels_have_unit_output_and_the_function_stays(donor_file):
    donor, pixels = load_donor(donor_file), random_pixels(24, 32)
    nested = nest(donor, "b-w0.5-d0.6", images=pixels)
    inputs = donor.preprocess(pixels)
    assert relative_difference(logits_of(nested, inputs), logits_of(donor, inputs)) < 1e-4
    outputs = {}
    NumpyNetwork(WeightSource.of(nested), observe=outputs.__setitem__).run(inputs)
    old = donor.tensors["stage6_block1_expand_bn/gamma"].size
    fresh = outputs["stage6_block1_expand_bn"][..., old:]
    assert fresh.shape[-1] == nested.tensors["stage6_block1_expand_bn/gamma"].size - old > 0
    np.testing.assert_allclose(fresh.mean((0, 1, 2)), 0, atol=1e-3)
    assert 0.7 < np.median(fresh.std((0, 1, 2))) < 1.01


def test_half_precision_file_stays_near_its_donor(donor_file, tmp_path):
    nest_to_file(donor_file, "b-w0.5-d0.6", tmp_path / "half.h5", dtype="float16")
    with WeightFile(tmp_path / "half.h5") as file:
        assert file.read("stem_conv/kernel").dtype == np.float16
    images = random_images(side=32)
    half, donor = load_donor(tmp_path / "half.h5"), load_donor(donor_file)
    assert relative_difference(logits_of(half, images), logits_of(donor, images)) < 0.3


def test_values_beyond_half_precision_are_refused_before_anything_is_left(donor_file, tmp_path):
    donor = load_donor(donor_file)
    tensors = {**donor.tensors, "stem_bn/moving_variance": np.full(16, 1e5, np.float32)}
    with pytest.raises(WeightFileError, match=r"65,504"):
        nest_to_file(
            donor.replace(tensors=tensors), "b-w0.5-d0.6", tmp_path / "h.h5", dtype="float16"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.h5"]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_source_file_is_never_overwritten(donor_file, tmp_path, link):
    before = donor_file.read_bytes()
    out = donor_file
    if link is not None:
        out = tmp_path / "other_name.h5"
        link(donor_file, out)
    with pytest.raises(NestingError, match="is the source file"):
        nest_to_file(donor_file, "b-w0.5-d0.6", out)
    assert donor_file.read_bytes() == before


def test_too_little_disk_is_noticed_before_the_first_byte(donor_file, tmp_path, monkeypatch):
    real = atomic.shutil.disk_usage
    monkeypatch.setattr(
        atomic.shutil, "disk_usage", lambda path: real(path)._replace(free=1_000_000)
    )
    written = []
    with pytest.raises(RunError, match="not enough disk space"):
        nest_to_file(donor_file, "b0", tmp_path / "large.h5", progress=written.append)
    assert not written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.h5"]


def test_an_interrupted_write_leaves_the_old_file(donor_file, tmp_path):
    out = tmp_path / "large.h5"
    out.write_bytes(b"what was there before")

    def interrupt(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nest_to_file(donor_file, "b-w0.5-d0.6", out, progress=interrupt)
    assert out.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.h5", "small.h5"]


@pytest.mark.slow
def test_a_killed_write_leaves_no_file_of_that_name(donor_file, tmp_path):
    program = (
        "import os, sys\n"
        "from efn_compose.nesting import nest_to_file\n"
        "count = []\n"
        "def kill(n):\n"
        "    count.append(n)\n"
        "    len(count) == 40 and os.kill(os.getpid(), 9)\n"
        f"nest_to_file({str(donor_file)!r}, 'b-w0.5-d0.6', {str(tmp_path / 'o.h5')!r}, progress=kill)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.slow
def test_bfloat16_takes_half_the_bytes_and_any_hdf5_reader_widens_it(donor_file, tmp_path):
    for dtype in ("float32", "bfloat16"):
        nest_to_file(donor_file, "b-w0.5-d0.6", tmp_path / f"{dtype}.h5", dtype=dtype)
    exact = load_donor(tmp_path / "float32.h5").tensors
    with h5py.File(tmp_path / "bfloat16.h5") as file:
        assert file["stem_conv/kernel"].id.get_storage_size() == 2 * exact["stem_conv/kernel"].size
        for name, values in exact.items():
            assert file[name].dtype == np.float32
            np.testing.assert_array_equal(file[name][()], values.astype(ml_dtypes.bfloat16))
    assert load_donor(tmp_path / "bfloat16.h5").tensors["stem_bn/gamma"].dtype == np.float32


def test_an_unknown_dtype_is_refused(donor_file, tmp_path):
    with pytest.raises(ConfigError, match=r"float16, bfloat16, float64\. Received: 'int8'"):
        nest_to_file(donor_file, "b-w0.5-d0.6", tmp_path / "o.h5", dtype="int8")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_verified_against_donors_rounded_alike(
    donor_file, tmp_path, capsys, dtype
):
    other, out = tmp_path / "other.h5", tmp_path / "large.h5"
    small_donor(seed=1).save(other)
    command = ["--into", "b-w1-d0.3", "-o", out, "--dtype", dtype, "--verify", "--json"]
    assert run_verb("direct-sum", donor_file, other, *command, "--weights", 0.3, 0.7) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(check["relative"] < report["rounding"]["relative"] / 3 for check in report["checks"])
    assert run_verb("nest", donor_file, *command) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert all(check["relative"] < 1e-9 for check in checks)


@pytest.mark.slow
def test_memory_stays_far_below_the_file(donor_file, tmp_path):
    """A 347 MB file grows the process by less than a quarter of that; L3 is measured elsewhere."""
    program = (
        "import resource, sys\n"
        "from efn_compose.nesting import nest_to_file\n"
        "import h5py\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"nest_to_file({str(donor_file)!r}, 'b8', {str(tmp_path / 'b8.h5')!r})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    size = (tmp_path / "b8.h5").stat().st_size
    assert size > 340e6
    assert int(done.stdout) * _rss_unit() < size / 4


def _rss_unit() -> int:
    """Bytes per unit of `ru_maxrss`."""
    assert resource.RUSAGE_SELF == 0
    return 1 if sys.platform == "darwin" else 1024


@pytest.mark.slow
def test_nest_command_writes_verifies_and_reports(donor_file, tmp_path, capsys):
    out = tmp_path / "large.h5"
    assert (
        run_verb("nest", donor_file, "--into", "b-w0.5-d0.6", "-o", out, "--verify", "--json") == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["variant"] == "b-w0.5-d0.6"
    assert [check["is_training"] for check in report["checks"]] == [False, True]
    assert all(check["relative"] < 1e-6 for check in report["checks"])


@pytest.mark.slow
def test_nest_command_without_head_at_random_positions_verifies_features(
    donor_file, tmp_path, capsys
):
    out = tmp_path / "large.h5"
    options = ["--head", "drop", "--positions", "random", "--seed", 3, "--verify"]
    assert run_verb("nest", donor_file, "--into", "b-w0.5-d0.6", "-o", out, *options) == 0
    assert "x input std" in capsys.readouterr().out
    assert load_donor(out).classes is None


@pytest.mark.slow
def test_nest_command_fits_or_widens_the_classifier(donor_file, tmp_path):
    pixels, labels = random_pixels(20, 32), np.arange(20) % 3
    np.savez(tmp_path / "images.npz", images=pixels, labels=labels)
    out = tmp_path / "large.h5"
    common = [donor_file, "--into", "b-w0.5-d0.6", "-o", out, "--quiet"]
    run_verb("nest", *common, "--head", "ridge", "--images", tmp_path / "images.npz", "--verify")
    assert load_donor(out).classes == 3
    run_verb("nest", *common, "--classes", 9, "--verify")
    assert load_donor(out).classes == 9
    with pytest.raises(DataError, match="--images"):
        run_verb("nest", *common, "--head", "ridge")
    for options in (["--classes", 0], ["--head", "drop", "--classes", 9]):
        with pytest.raises(ConfigError, match=f"{options[-1]}"):
            run_verb("nest", *common, *options)


def test_a_file_of_double_precision_keeps_it(tmp_path, capsys):
    donor = float64_donor("b-w0.3-d0.3", 1)
    header = dataclasses.replace(donor.header, dtype="float64")
    source, out = tmp_path / "double.h5", tmp_path / "large.h5"
    write_weights(source, header, donor.tensors)
    command = ["--into", "b-w0.5-d0.6", "-o", out, "--dtype", "float64", "--verify", "--json"]
    assert run_verb("nest", source, *command) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert all(check["relative"] < 1e-12 for check in checks)
    with WeightFile(out) as file:
        top = file.read("top_bn/gamma")[: donor.spec.top_channels]
    np.testing.assert_array_equal(top, donor.tensors["top_bn/gamma"])
    assert (top != top.astype(np.float32)).any()


@pytest.mark.slow
def test_direct_sum_and_shrink_commands(donor_file, tmp_path, capsys):
    other, out = tmp_path / "other.h5", tmp_path / "large.h5"
    small_donor(seed=1).save(other)
    files = [donor_file, other]
    run_verb(
        "direct-sum", *files, "--into", "b-w1-d0.3", "-o", out, "--weights", 0.3, 0.7, "--verify"
    )
    assert "batch statistics" in capsys.readouterr().out
    np.save(tmp_path / "images.npy", random_pixels(8, 32))
    small = tmp_path / "cut.h5"
    images = ["--images", tmp_path / "images.npy"]
    run_verb("shrink", out, "--into", "b-w0.5-d0.3", "-o", small, *images, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["agreement"]["images"] == "held-out"
    assert load_donor(small).spec.variant == "b-w0.5-d0.3"


def test_mixed_conventions_leave_no_file(donor_file, tmp_path):
    other = tmp_path / "other.h5"
    float64_donor("b-w0.3-d0.3", padding="symmetric").save(other)
    with pytest.raises(IncompatibleDonorsError, match="padding"):
        direct_sum_to_file([donor_file, other], "b-w1-d0.3", tmp_path / "sum.h5")
    assert not (tmp_path / "sum.h5").exists()


def test_unreadable_image_files_say_what_is_expected(donor_file, tmp_path):
    np.savez(tmp_path / "wrong.npz", pictures=np.zeros(3))
    with pytest.raises(DataError, match="'images'"):
        run_verb(
            "nest",
            donor_file,
            *("--into", "b-w0.5-d0.6", "-o", tmp_path / "o.h5"),
            *("--images", tmp_path / "wrong.npz"),
        )


def test_progress_outside_a_terminal_is_plain_lines(capsys, monkeypatch):
    clock = iter([0.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr("efn_compose.nesting.progress.time.monotonic", lambda: next(clock))
    with byte_progress("l3.h5", 4_000_000) as advance:
        for _ in range(3):
            advance(1_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "l3.h5: 1 of 4 MB, 18 s left",
        "l3.h5: 3 of 4 MB, 4 s left",
    ]
