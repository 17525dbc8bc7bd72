"""What a run is known by: a donor or data file changed under it is noticed when it goes on."""

import numpy as np
import pytest
from nano_run import nano_donor, write_nano_experiment

from efn_compose.errors import ResumeMismatchError
from efn_compose.jobs.search.preparation import prepare
from efn_compose.store import RunFolder


@pytest.fixture
def begun(tmp_path):
    config = write_nano_experiment(tmp_path)
    prepared = prepare(config)
    with RunFolder.create(prepared.folder, "", prepared.identity) as folder:
        folder.journal.append({"index": 0})
    return config, prepared.folder


def _resume(config):
    prepared = prepare(config)
    with RunFolder.resume(prepared.folder, "", prepared.identity) as folder:
        return len(folder.journal)


def test_the_same_files_go_on_wherever_they_came_from(begun):
    config, _ = begun
    # Written anew, other bytes of time perhaps, the same weights.
    nano_donor("donor1", 1).save(config.parent / "donor1.h5")
    assert _resume(config) == 1


def test_a_donor_changed_under_the_run_is_refused_by_its_hash(begun):
    config, run = begun
    donor = nano_donor("donor1", 1)
    tensors = {name: np.array(values) for name, values in donor.tensors.items()}
    tensors["stem_conv/kernel"].flat[0] += 1e-6
    donor.replace(tensors=tensors).save(config.parent / "donor1.h5")
    before = (run / "evaluations.jsonl").read_bytes()
    with pytest.raises(ResumeMismatchError, match="donors"):
        _resume(config)
    assert (run / "evaluations.jsonl").read_bytes() == before


def test_images_changed_under_the_run_are_refused_too(begun):
    config, _ = begun
    with np.load(config.parent / "images.npz") as held:
        images, labels = held["images"].copy(), held["labels"]
    images[0, 0, 0, 0] ^= 1
    np.savez(config.parent / "images.npz", images=images, labels=labels)
    with pytest.raises(ResumeMismatchError, match="data"):
        _resume(config)
