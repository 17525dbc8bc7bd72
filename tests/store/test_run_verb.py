"""Which verb a run folder is of, held against the verbs' own configurations and command lines."""

import shlex

import pytest
from verbs import call_command

from efn_compose.cli.shared.arguments import settings_given
from efn_compose.cli.shared.command import load_verb, verb_parser
from efn_compose.config import dump_toml
from efn_compose.errors import RunError
from efn_compose.evolve.run_config import RunConfig
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.ensembles.preparation import STORED as STORED_ENSEMBLE
from efn_compose.jobs.policies.options import PolicyConfig
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.study.options import StudyConfig
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.jobs.trainings.preparation import STORED as STORED_TRAINING
from efn_compose.store import RunFolder
from efn_compose.store.run_verb import refuse_other_verb, resume_command, verb_of_folder

STORY = "[first]\nverb = 'train'\n[second]\nverb = 'ensemble'\n"
TEXTS = {
    "ensemble": dump_toml(EnsembleConfig()),
    "evolve": dump_toml(RunConfig()),
    "pipeline": STORY,
    "policy": dump_toml(PolicyConfig()),
    "pretrain": dump_toml(PretrainConfig()),
    "study": dump_toml(StudyConfig()),
    "train": dump_toml(TrainConfig()),
}


@pytest.mark.parametrize("verb", TEXTS)
def test_the_advised_command_means_the_folders_own_settings(tmp_path, verb):
    """The verb's own parser finds configuration, folder and --resume where they belong."""
    run = tmp_path / "my run"
    RunFolder.create(run, TEXTS[verb], {}).close()
    assert verb_of_folder(run) == verb
    program, name, *words = shlex.split(resume_command(run))
    assert (program, name) == ("efn-compose", verb)
    module = load_verb(name)
    options = verb_parser(name, module).parse_args(words)
    if verb == "pipeline":
        assert (options.story, options.output) == (str(run / "config.toml"), str(run))
    else:
        assert options.config == str(run / "config.toml")
        # No run and no network is named: those of the configuration hold.
        assert settings_given(options, module._FLAGS) == [f"run.path={run}"]
        assert not getattr(options, "runs", []) and not getattr(options, "networks", [])
    assert options.resume


def test_a_folder_belongs_to_one_verb(tmp_path):
    for verb, text in TEXTS.items():
        RunFolder.create(tmp_path / verb, text, {}).close()
    for verb, text in TEXTS.items():
        for other in TEXTS:
            if other == verb:
                refuse_other_verb(tmp_path / other, text)
                continue
            with pytest.raises(RunError, match=rf"a run of `efn-compose {other}`.*-o NEW"):
                refuse_other_verb(tmp_path / other, text)
    # A start that was killed holds no run, and another verb may begin there.
    (tmp_path / "train" / "environment.json").unlink()
    refuse_other_verb(tmp_path / "train", TEXTS["evolve"])


@pytest.mark.parametrize("resume", [False, True])
def test_a_job_names_the_other_verb_and_leaves_its_folder(tmp_path, resume):
    identity = {"config": STORED_TRAINING.hash(TEXTS["train"])}
    STORED_TRAINING.opened(tmp_path / "run", TrainConfig(), identity, False).close()
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(RunError) as caught:
        STORED_ENSEMBLE.opened(tmp_path / "run", EnsembleConfig(), {"config": "other"}, resume)
    assert "a run of `efn-compose train`, and `efn-compose ensemble`" in str(caught.value)
    assert "--resume" not in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


@pytest.mark.slow
def test_a_resumed_quickstart_names_the_other_verb(tmp_path):
    """A whole command, which reads the folder before it opens it."""
    RunFolder.create(tmp_path / "run", TEXTS["train"], {}).close()
    ended = call_command("evolve", "-o", tmp_path / "run", "--resume", folder=tmp_path)
    assert ended.returncode == 1
    assert "run: holds a run of `efn-compose train`" in ended.stderr
