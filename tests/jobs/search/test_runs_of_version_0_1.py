"""Run folders and weight files of version 0.1 still replay, report and load; see tests/data/runs_0_1_0.

The runs were made by version 0.1.0 with one configuration and one kind of search each. Their paths are
relative, and donors and images are made anew from their seeds.
"""

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from page_checks import Page
from traced_trainers import share_search_workers

from efn_compose import load_donor
from efn_compose.analysis import write_card, write_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.config import dump_toml
from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError, ResumeMismatchError, UncheckedFileWarning
from efn_compose.jobs.search.job import evolve
from efn_compose.jobs.search.preparation import STORED, prepare
from efn_compose.settings.renamed import OldSettingWarning
from efn_compose.store import RunFolder

KEPT = Path(__file__).parents[2] / "data" / "runs_0_1_0"
KINDS = ("genetic", "steady", "random", "halving", "lamarck")


def _donor(name: str, seed: int) -> Donor:
    """Return a donor of the runs; frozen as version 0.1's tests made it."""
    spec, generator, tensors = arch_spec("lite-w0.25-d0.3"), np.random.default_rng(seed), {}
    for tensor in inventory(spec):
        if tensor.role in ("kernel", "depthwise_kernel"):
            fan_in = np.prod(tensor.shape[:3]) if tensor.role == "kernel" else 9
            values = generator.normal(0, np.sqrt(2 / fan_in), tensor.shape)
        elif tensor.role in ("gamma", "moving_variance"):
            values = generator.uniform(0.8, 1.2, tensor.shape)
        else:
            values = generator.normal(0, 0.1, tensor.shape)
        tensors[tensor.name] = values.astype(np.float32)
    return Donor(name, spec, default_conventions(spec), tensors, {"licence": "Apache-2.0"})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Copies of the run folders, beside the donors and images that they were made with."""
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    for number in (1, 2):
        _donor(f"donor{number}", number).save(tmp_path / f"donor{number}.h5")
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    images = generator.integers(0, 90, (len(labels), 32, 32, 3))
    for label in range(3):
        images[labels == label, :, 10 * label : 10 * label + 12] += 120
    np.savez(tmp_path / "images.npz", images=images.astype(np.uint8), labels=labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def traced_workers():
    """Let runs of one setup and one data set share a worker: its network is traced once."""
    with pytest.MonkeyPatch.context() as patch:
        share_search_workers(patch)
        yield


def _resume(kind: str, overrides=()):
    with pytest.warns(OldSettingWarning):
        return evolve(f"{kind}/config.toml", overrides, resume=True, quiet=True)


@pytest.mark.slow
@pytest.mark.usefixtures("traced_workers")
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_of_version_0_1_replays_and_goes_on_to_finals_of_today(runs, kind):
    folder = runs / kind
    journal = folder / "evaluations.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    phases = [json.loads(line).get("phase") for line in lines]
    searched = b"".join(lines[: phases.index("final")])
    journal.write_bytes(searched)
    (folder / "result.json").unlink()  # a run that ended would not be looked at again
    try:
        summary = _resume(kind)
    except EvaluationError as error:
        # Networks of searches that train on are not among the stored files: they are trained again,
        # which gives the bits of the journal on processors like the one it was written on.
        if "cannot be made again" in str(error):
            pytest.skip("this processor rounds otherwise than the one the run was made on")
        raise
    assert journal.read_bytes().startswith(searched)
    # The same candidates reach the finals as did then.
    then = {json.dumps(r["recipe"]) for r in map(json.loads, lines) if r.get("phase") == "final"}
    now = map(json.loads, journal.read_bytes().splitlines())
    assert then <= {json.dumps(r["recipe"]) for r in now if r.get("phase") == "final"}
    assert load_donor(summary.weights).spec.variant == "lite-w0.25-d0.3"


@pytest.mark.parametrize("kind", ["genetic", "halving"])
def test_finals_that_version_0_1_began_are_refused_with_a_way_out(runs, kind):
    (runs / kind / "result.json").unlink()
    with pytest.raises((ResumeMismatchError, EvaluationError), match=r"another version|made again"):
        _resume(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_report_and_card_of_a_run_of_version_0_1(runs, kind):
    run = read_run(runs / kind)
    assert run.problems == ()
    assert run.kind.name == kind
    assert run.kind.population == 5
    assert run.trains_on == (kind in ("halving", "lamarck"))
    page = Page(write_report(runs / kind).read_text(encoding="utf-8")).check()
    assert json.loads((runs / kind / "result.json").read_text())["verdict"] in page.text
    assert "donor1" in write_card(runs / kind).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_configuration_is_unedited_and_means_what_it_meant(kind):
    text = (KEPT / kind / "config.toml").read_text(encoding="utf-8")
    identity = json.loads((KEPT / kind / "environment.json").read_text())["identity"]
    assert STORED.hash(text) == identity["config"]
    config = STORED.read(text)
    assert config.kind.name == kind
    assert (config.finals.noise_repeats, config.finals.finalists, config.finals.final_seeds) == (
        2,
        2,
        2,
    )
    assert config.kind.generations == (5 if kind == "halving" else 2)
    assert STORED.read(STORED.in_todays_words(text)) == config


@pytest.mark.parametrize(
    ("overrides", "shown"),
    [
        (["fitness.learning_rate=0.01"], "fitness.learning_rate: the run has 0.001, now 0.01"),
        (
            ["genetic.selection=ranking"],
            "genetic.selection: the run has 'tournament', now 'ranking'",
        ),
        (["search.granularity=stage"], "search.granularity: the run has 'block', now 'stage'"),
    ],
)
def test_another_configuration_is_refused_and_only_its_difference_shown(runs, overrides, shown):
    with pytest.raises(ResumeMismatchError) as caught:
        _resume("genetic", overrides)
    lines = [line for line in str(caught.value).splitlines() if "≠" in line]
    assert len(lines) == 1 and shown in lines[0]


def test_an_edited_configuration_is_refused(runs):
    config = runs / "genetic" / "config.toml"
    config.write_text(config.read_text().replace("dropout = 0.2", "dropout = 0.3"))
    with pytest.raises(ResumeMismatchError, match="config: the run has"):
        _resume("genetic")


def test_a_run_with_settings_that_are_gone_is_left_to_its_version(runs):
    config, environment = runs / "genetic" / "config.toml", runs / "genetic" / "environment.json"
    text = config.read_text().replace("tournament = 3", "tournament = 5")
    config.write_text(text)
    identity = json.loads(environment.read_text())
    identity["identity"]["config"] = STORED.hash(text)
    environment.write_text(json.dumps(identity))
    sparse = runs / "mine.toml"
    sparse.write_text(
        STORED.in_todays_words(config.read_text().replace("tournament = 5", "tournament = 3"))
    )
    with pytest.raises(ResumeMismatchError, match=r"search\.tournament = 5 cannot be had any more"):
        evolve(sparse, resume=True, quiet=True)


def test_a_run_of_version_0_1_is_opened_with_todays_settings_without_a_word(runs):
    config = runs / "mine.toml"
    config.write_text(STORED.in_todays_words((runs / "genetic" / "config.toml").read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("error", OldSettingWarning)
        prepared = prepare(config)
    text = dump_toml(prepared.config)
    identity = STORED.resumed_identity(prepared.folder, text, prepared.identity)
    with RunFolder.resume(prepared.folder, text, identity) as folder:
        assert len(folder.journal) == 35


def test_a_weight_file_of_version_0_1_loads(runs):
    path = runs / "efn_magic_weights.h5"
    with pytest.warns(UncheckedFileWarning):
        donor = load_donor(path)
    digest = hashlib.sha256()
    for name in sorted(donor.tensors):
        digest.update(name.encode() + donor.tensors[name].tobytes())
    # By version 0.1.0's own reader.
    assert digest.hexdigest() == "dfc0c9ebf86094aa5daca7fe9a3da42eb8ff6a7cac9146d02481fb5ac78f6db6"
    assert (donor.spec.variant, donor.classes) == ("b-tiny", 3)
    with h5py.File(path) as file:
        kernel = file["stem_conv"]["kernel"]
        np.testing.assert_array_equal(kernel[()], donor.tensors["stem_conv/kernel"])
