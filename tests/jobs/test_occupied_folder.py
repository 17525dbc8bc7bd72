"""A run folder that cannot be used is refused before anything is read: neither weights nor images."""

import pytest

import efn_compose
from efn_compose.errors import RunError
from efn_compose.store.run_folder import RunFolder

#: Each verb's function, the table of its configuration that no other verb has, and what it must be given.
VERBS = {
    "train": (
        efn_compose.train,
        "train",
        ["weights.file=missing.h5", "data.source=folder:missing"],
    ),
    "pretrain": (
        efn_compose.pretrain,
        "pretrain",
        ["weights.file=missing.h5", "unlabelled.source=folder:missing"],
    ),
    "study": (
        efn_compose.study,
        "study",
        ['study.weights=["missing.h5"]', "data.source=folder:missing"],
    ),
    "policy": (efn_compose.policy, "policy", ['policy.networks=["missing"]']),
    "evolve": (
        efn_compose.evolve,
        "search",
        ['donors.files=["missing.h5", "lost.h5"]', "data.source=folder:missing"],
    ),
    "ensemble": (
        efn_compose.ensemble,
        "ensemble",
        ['ensemble.runs=["missing"]', "data.source=folder:missing"],
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_with_a_run_is_refused_at_once(tmp_path, verb):
    function, section, overrides = VERBS[verb]
    folder = tmp_path / "run"
    RunFolder.create(folder, f"[{section}]\n", {}).close()
    kept = sorted(path.name for path in folder.iterdir())
    with pytest.raises(RunError, match=r"already holds a run.*--resume"):
        function(overrides=[*overrides, f"run.path={folder}"])
    assert sorted(path.name for path in folder.iterdir()) == kept


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_without_a_run_is_not_gone_on_with(tmp_path, verb):
    function, _, overrides = VERBS[verb]
    with pytest.raises(RunError, match="no run to resume there"):
        function(overrides=[*overrides, f"run.path={tmp_path / 'new'}"], resume=True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_another_verb_is_named(tmp_path, verb):
    function, section, overrides = VERBS[verb]
    other = "train" if section == "policy" else "policy"
    RunFolder.create(tmp_path / "run", f"[{other}]\n", {}).close()
    with pytest.raises(RunError, match=f"holds a run of `efn-compose {other}`"):
        function(overrides=[*overrides, f"run.path={tmp_path / 'run'}"])
