"""The main job as a user starts it: results, and resumption after SIGKILL."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from forked_commands import run_command, start_command
from nano_run import write_nano_experiment
from random_donors import LITE
from repository import ROOT
from traced_trainers import share_search_workers
from verbs import call_command

from efn_compose.arch import ArchSpec
from efn_compose.compose import genome_space
from efn_compose.donors import load_donor
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.jobs.predictions.networks import find_networks
from efn_compose.jobs.search.job import evolve
from efn_compose.store import WeightFile


@pytest.fixture(scope="module", autouse=True)
def traced_workers():
    """Trace a network once for all runs within this process; runs that are killed have their own."""
    with pytest.MonkeyPatch.context() as patch:
        share_search_workers(patch)
        yield


def _evolve(*arguments, run=call_command):
    done = run("evolve", *arguments, folder=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def _journal(folder):
    """Return the journal's records without times."""
    records = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("timing")
    return records


def _kill_after(config, lines, *arguments):
    """Start a run and kill it with SIGKILL once its journal has so many lines."""
    journal = Path(config).parent / "run" / "evaluations.jsonl"
    running = start_command("evolve", config, *arguments, folder=ROOT)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and running.process.is_alive():
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.02)
    running.kill()
    print(f"Killed at the latest moment of {lines} lines; the journal has", end=" ")
    print(journal.read_bytes().count(b"\n") if journal.exists() else "none")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    config = write_nano_experiment(folder)
    # This one from nothing, as a user starts it; all others must give what it gives.
    command = [sys.executable, "-m", "efn_compose.evolve", config]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, config, done


@pytest.mark.slow
def test_a_run_leaves_everything_it_promises(finished):
    folder, _, done = finished
    run = folder / "run"
    expected = {"config.toml", "environment.json", "evaluations.jsonl", "result.json", "split.json"}
    expected |= {"report.html", "card.md", "efn_magic_weights.h5", "donors.json", "data.json"}
    assert expected <= {path.name for path in run.iterdir()}
    result = json.loads((run / "result.json").read_text())
    assert result["verdict"] in done.stdout.replace("\n", " ")
    arms = result["arms"]
    assert {"donor1", "donor2", "donor1_sibling1", "uniform_average"} <= set(arms)
    assert all(len(arm["test_loss"]) == len(arm["test_accuracy"]) == 2 for arm in arms.values())
    assert result["evaluations"] == len(_journal(run))
    # Donors of two lineages, aligned and absorbed: nothing is mixed without alignment.
    assert len(result["lineages"]) == 2
    assert not any("without alignment" in flag for flag in result["flags"])
    names = [donor["name"] for donor in json.loads((run / "donors.json").read_text())["donors"]]
    if result["winner"] in names[:2]:
        written = load_donor(run / "efn_magic_weights.h5")
        original = load_donor(folder / f"{result['winner']}.h5")
        # The same function; an aligned donor is written in the reference's basis.
        images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
        maps = [np.asarray(donor.build(include_top=False)(images)) for donor in (written, original)]
        assert _rotation_apart(*maps) < 1e-4


def _rotation_apart(one, other):
    """Return how far two maps (…, channel) are apart in distances between positions, which no order or
    rotation of channels changes."""
    grams = [flat @ flat.T for flat in (m.reshape(-1, m.shape[-1]) for m in (one, other))]
    return np.abs(grams[0] - grams[1]).max() / np.abs(grams[1]).max()


@pytest.mark.slow
def test_the_magic_file_names_the_donor_of_every_filter(finished):
    with WeightFile(finished[0] / "run" / "efn_magic_weights.h5") as file:
        recipe, filters = file.header.recipe, file.read_donor_map()
        assert file.header.provenance["licence"] == "Apache-2.0"
        if recipe["kind"] == "genome":
            for locus, gene in zip(recipe["loci"], recipe["values"], strict=True):
                for layer, donors in filters.items():
                    if layer.startswith(f"{locus}_"):
                        assert set(donors.tolist()) == {gene}


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_byte_for_byte_like_an_undisturbed_one(
    finished, tmp_path, chance
):
    folder, _, _ = finished
    config = write_nano_experiment(tmp_path)
    # The same donors and data in another place; only the run path differs.
    total = len(_journal(folder / "run"))
    _kill_after(config, chance.randrange(1, total - 1))
    cut = len(_journal(tmp_path / "run")) if (tmp_path / "run").exists() else 0
    assert not (tmp_path / "run" / "result.json").exists(), "killed too late to prove anything"
    _evolve(config, "--resume", run=run_command)
    assert cut < total
    assert _journal(tmp_path / "run") == _journal(folder / "run")
    name = "efn_magic_weights.h5"
    assert (tmp_path / "run" / name).read_bytes() == (folder / "run" / name).read_bytes()


@pytest.mark.slow
def test_two_workers_that_read_the_cache_write_the_journal_of_one_that_holds_its_images(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    config = write_nano_experiment(tmp_path)
    settings = ["executor.kind=ray", "executor.workers=2", "executor.images=cache"]
    _evolve(config, "--set", *settings, run=run_command)
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1
    assert _journal(tmp_path / "run") == _journal(finished[0] / "run")


@pytest.mark.slow
def test_a_search_over_units_mixes_within_blocks_and_goes_on_from_what_it_had_written(tmp_path):
    settings = ("--set", "search.granularity=unit", "donors.siblings=0", "genetic.generations=1")
    config = write_nano_experiment(tmp_path / "one", population=8)
    _evolve(config, *settings)
    first = config.parent / "run"
    # As a kill within the search leaves it; the kill itself is above.
    again, second = _copy((config.parent,), tmp_path)
    lines = (second / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (second / "evaluations.jsonl").write_bytes(b"".join(lines[:9]))
    for name in ("result.json", "efn_magic_weights.h5", "report.html", "card.md"):
        (second / name).unlink()
    _evolve(again, *settings, "--resume")
    assert _journal(first) == _journal(second)
    name = "efn_magic_weights.h5"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    space = _unit_space(first)
    evaluated = [tuple(r["recipe"]["values"]) for r in _journal(first) if r["phase"] == "search"]
    assert all(space.canonical(genome) == genome for genome in evaluated)
    assert any(space.decode(genome).units for genome in evaluated)
    named = {r["arm"] for r in _journal(first) if tuple(r["recipe"]["values"]) == space.pure(1)}
    assert named == {"donor2"}


@pytest.mark.slow
def test_inherited_weights_survive_a_kill_and_lost_files(tmp_path, chance):
    settings = ("--set", "donors.siblings=0", "donors.align=never")
    shape = {"kind": "lamarck", "population": 3, "generations": 3}
    twice = [write_nano_experiment(tmp_path / name, **shape) for name in ("one", "two")]
    _evolve(twice[0], *settings)
    first, second = (config.parent / "run" for config in twice)
    total = len(_journal(first))
    _kill_after(twice[1], chance.randrange(1, total - 1), *settings)
    # Whatever was kept of the trained networks can be made again from the journal's order.
    for path in list((second / "population").glob("*.h5"))[::2]:
        path.unlink()
    _evolve(twice[1], *settings, "--resume", run=run_command)
    assert _journal(first) == _journal(second)
    name = "efn_magic_weights.h5"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    result = json.loads((first / "result.json").read_text())
    assert {"donor1", "donor2", "trained", "trained_average"} <= set(result["arms"])
    trained = [r for r in _journal(first) if r["phase"] == "population"]
    # Each generation starts from the one before: losses fall far below a single epoch's.
    assert trained[-1]["arm"] == "plain"
    assert trained[-1]["train_loss"] < min(r["train_loss"] for r in trained[:3])
    # What was trained brings its classifier, and the card says so and how to keep it.
    card, classes = (first / "card.md").read_text(), load_donor(first / name).classes
    if result["winner"].startswith("donor"):
        assert (classes, "without a classifier" in card) == (None, True)
    else:
        assert (classes, "with the classifier of the run" in card) == (3, True)
        assert "donor.build(input_shape=(32, 32, 3))" in card
        (network,) = find_networks([str(first / name)])
        assert (network.size, network.class_names) == (32, ("0", "1", "2"))


def _unit_space(run):
    """Return the genome space a run decoded with, from what it left."""
    described = json.loads((run / "donors.json").read_text())
    with np.load(run / "saliency.npz", allow_pickle=False) as file:
        saliency = [
            {name.split("/")[1]: file[name] for name in file.files if name.startswith(f"{n}/")}
            for n in range(2)
        ]
    return genome_space(ArchSpec.from_json(described["spec"]), 2, "unit", saliency)


@pytest.mark.slow
def test_a_run_that_lost_its_weights_writes_them_again_from_the_journal(finished, tmp_path):
    config, run = _copy(finished, tmp_path)
    before = (run / "efn_magic_weights.h5").read_bytes()
    journal = (run / "evaluations.jsonl").read_bytes()
    (run / "efn_magic_weights.h5").unlink()
    _evolve(config, "--resume")
    assert (run / "efn_magic_weights.h5").read_bytes() == before
    assert (run / "evaluations.jsonl").read_bytes() == journal


@pytest.mark.slow
def test_a_finished_run_says_its_verdict_without_starting_workers(finished, tmp_path):
    config, run = _copy(finished, tmp_path)
    # The card and the report, which are drawn again, name the folder.
    drawn = ("card.md", "report.html")
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.name not in drawn}
    verdict = json.loads((run / "result.json").read_text())["verdict"]
    # A cluster that is not there: starting a worker would fail.
    nowhere = ("executor.kind=ray", "executor.address=127.0.0.1:1")
    done = _evolve(config, "--resume", "--json", "--set", *nowhere)
    assert json.loads(done.stdout)["verdict"] == verdict
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_run_that_goes_on_computes_as_where_it_began(finished, tmp_path, monkeypatch):
    config, run = _copy(finished, tmp_path)
    began = {"device": "cpu", "precision": "float32"}
    assert json.loads((run / "device.json").read_text()) == began
    (run / "device.json").write_text(json.dumps({"device": "tpu", "precision": "mixed_bfloat16"}))
    (run / "result.json").unlink()

    def make_worker(setup, data, device):
        raise InterruptedError(setup.compute.precision)

    monkeypatch.setattr(WorkerSetup, "make_worker", make_worker)
    with pytest.raises(InterruptedError, match="mixed_bfloat16"):
        evolve(config, resume=True, quiet=True)


def _copy(finished, tmp_path):
    """Return the configuration and the run folder of a copy of a finished run, its folder first."""
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    config = folder / "nano.toml"
    config.write_text(config.read_text().replace(str(finished[0] / "run"), str(folder / "run")))
    return config, folder / "run"


@pytest.mark.slow
def test_dry_run_tells_the_cost_and_writes_nothing(tmp_path):
    config = write_nano_experiment(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = _evolve(config, "--dry-run", "--set", "fitness.batch_size=0")
    assert sorted(tmp_path.rglob("*")) == before
    # 48 training images: more than 3 at a time would make fewer than 16 steps.
    assert "batch         Batch size 3: a worker took" in done.stdout
    assert "batch_size = 3" in done.stdout
    # 2 donors with a sibling each: noise 2 * 2, search 5 + 2*5, finals (2 + 4 + 1) * 2, test 2.
    assert "37 (noise 4, search 15, final 16, test 2)" in done.stdout
    assert "population = 5" in done.stdout
    # 40 images of each of three classes, split evenly: 48, 36 and 36 images of 32 x 32 x 3 bytes.
    assert "120 images of 32 px (train 48, validation 36, test 36)" in done.stdout
    assert "test: 0: 16/12/12, 1: 16/12/12, 2: 16/12/12" in done.stdout
    assert "images 0 MB" in done.stdout and "2 siblings are made of them" in done.stdout
    assert "Measuring 2 evaluations on 1 worker" in done.stderr


@pytest.mark.slow
def test_the_noise_command_agrees_with_the_runs_own_measurement(finished, tmp_path):
    config = write_nano_experiment(tmp_path)
    found = json.loads(_evolve(config, "--noise", "2", "--json").stdout)
    records = _journal(finished[0] / "run")
    noise = [r for r in records if (r["phase"], r["arm"]) == ("noise", "donor1")]
    # Aligning leaves the first donor as it is, absorbing does not: both have to be followed.
    assert found["losses"] == [record["scores"]["validation"]["loss"] for record in noise]
    assert found["spread"]["loss"]["deviation"] == pytest.approx(np.std(found["losses"], ddof=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_keeps_the_journal_and_says_so(tmp_path):
    experiment = write_nano_experiment(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        done = run_command("evolve", experiment, "--set", f"run.path={disk / 'run'}")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "space" in done.stderr or "disk is full" in done.stderr
        for path in disk.rglob("*"):
            assert not path.name.endswith((".partial", "magic_weights.h5"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_the_winner_is_nested_into_a_larger_network_of_the_same_function(tmp_path):
    shape = {"population": 2, "generations": 0, "noise_repeats": 0, "finalists": 1}
    experiment = write_nano_experiment(tmp_path, LITE, **shape)
    settings = ("donors.siblings=0", "donors.align=never", "output.nest_into=lite-w0.5-d0.6")
    _evolve(experiment, "--set", *settings)
    small = load_donor(tmp_path / "run" / "efn_magic_weights.h5")
    large = load_donor(tmp_path / "run" / "efn_magic_weights_lite-w0.5-d0.6.h5")
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3))
    pools = [
        donor.build(include_top=False)(donor.preprocess(images)).numpy().mean((1, 2))
        for donor in (small, large)
    ]
    kept = pools[1][:, : pools[0].shape[1]]
    np.testing.assert_allclose(kept, pools[0], atol=1e-4 * pools[0].std())
