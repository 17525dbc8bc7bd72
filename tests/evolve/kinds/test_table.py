"""Kinds of search: one row each, settings of their own, and names of the version before."""

import dataclasses
import re
import tomllib
import warnings

import pytest

from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.kinds.table import KINDS
from efn_compose.evolve.run_config import RunConfig as SameRunConfig
from efn_compose.settings.renamed import OldSettingWarning, translate

KIND_NAMES = ("genetic", "steady", "random", "cma", "halving", "lamarck")


def _refused(overrides, path=None) -> str:
    with pytest.raises(ConfigError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", OldSettingWarning)
        load_config(path, overrides)
    return str(caught.value)


def _old(*overrides):
    with pytest.warns(OldSettingWarning) as caught:
        config = load_config(None, overrides)
    return config, [str(warning.message) for warning in caught]


def test_every_kind_is_a_section_of_its_name():
    assert SameRunConfig is RunConfig
    assert tuple(KINDS) == KIND_NAMES
    for name, kind in KINDS.items():
        config = load_config(None, [f"search.kind={name}"])
        assert kind.name == name
        assert type(config.kind) is kind
        assert name in tomllib.loads(dump_toml(config))


@pytest.mark.parametrize("chosen", KIND_NAMES)
def test_sections_of_other_kinds_are_refused_even_at_their_defaults(tmp_path, chosen):
    for other in set(KIND_NAMES) - {chosen}:
        message = _refused([f"search.kind={chosen}", f"{other}.population=16"])
        assert f'{other}.population has no effect with search.kind = "{chosen}"' in message
        assert f'it is read with search.kind = "{other}" only' in message
        assert f'Remove [{other}], or set search.kind = "{other}".' in message
        path = tmp_path / "run.toml"
        path.write_text(f'[search]\nkind = "{chosen}"\n[{other}]\n')
        assert f"[{other}] has no effect" in _refused([], path)


@pytest.mark.parametrize(
    ("old", "kind"),
    [
        (["search.mode=steady"], "steady"),
        (["search.breeding=random"], "random"),
        (["search.inheritance=halving"], "halving"),
        (["search.inheritance=lamarck", "search.mode=generational"], "lamarck"),
        (["search.inheritance=baldwin"], "genetic"),
    ],
)
def test_what_used_to_be_three_settings_is_one(old, kind):
    config, notes = _old(*old)
    assert config.search.kind == kind
    assert len(notes) == len(old)
    assert all(f'is search.kind = "{kind}" now' in note for note in notes)


def test_settings_of_before_go_to_the_kind_that_is_chosen():
    config, notes = _old(
        "search.inheritance=halving", "search.population=8", "search.lines=2", "search.branches=3",
        "search.generations=23", "search.noise_repeats=3", "search.finalists=2", "search.final_seeds=4",
    )  # fmt: skip
    assert dataclasses.astuple(config.halving)[:4] == (8, 23, 2, 3)
    assert dataclasses.astuple(config.finals)[:3] == (3, 2, 4)
    assert len(notes) == 8
    assert any(note.startswith("search.lines is halving.lines now.") for note in notes)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.lines=5"], 'search.lines = 5 has no effect with search.kind = "genetic"'),
        (["search.branches=2"], 'it is read by "halving" (as halving.branches) only'),
        (["search.lookahead=4"], "search.lookahead = 4 cannot be had any more."),
        (["search.reference=budget"], "search.reference"),
        (["search.inheritance=halving", "search.elites=5"], 'by "genetic" (as genetic.elites), "steady"'),
        (["search.inheritance=halving", "search.crossover_rate=0.5"], "search.crossover_rate = 0.5"),
        (["search.inheritance=halving", "search.tournament=5"], "search.tournament = 5"),
        (["search.inheritance=halving", "search.mode=steady"], "no kind of search is this"),
        (["search.mode=steady", 'search.rungs=["probe"]'], '(as genetic.rungs), "random"'),
        (["search.kind=halving", "search.mode=steady"], "search.mode and search.kind say the same"),
        (["search.population=8", "genetic.population=9"], "search.population and genetic.population"),
        (["fitness.loss=plain"], "Losses are taken at the best temperature: leave it out"),
        (["fitness.label_smoothing=0.1"], "fitness.label_smoothing = 0.1"),
        (["donors.absorb_images=64"], "donors.absorb_images = 64"),
        (["executor.hang_factor=3"], "executor.hang_factor = 3"),
        (["output.weights_name=mine.h5"], "Every run writes efn_magic_weights.h5"),
        (["fitness.final_rate=0.5"], 'finals.final_rate = 0.5 has no effect with search.kind = "genetic"'),
        (["search.rung_keep=0.2"], "search.rung_keep = 0.2"),
        (["genetic.lines=5"], "genetic.lines is no setting. Did you mean halving.lines?"),
        (["steady.rungs=probe"], "steady.rungs is no setting. Did you mean genetic.rungs or random.rungs?"),
    ],
)  # fmt: skip
def test_what_was_ignored_in_silence_is_refused(overrides, said):
    assert said in _refused(overrides)


def test_settings_that_moved_keep_their_meaning():
    config, notes = _old(
        "fitness.precision=mixed_bfloat16", "fitness.xla=true", "fitness.recalibrate_images=64",
        "executor.hang_seconds=60", "search.inheritance=halving", "fitness.final_rate=0.5",
    )  # fmt: skip
    assert (config.device.precision, config.device.xla) == ("mixed_bfloat16", True)
    assert (config.data.statistics_images, config.executor.patience) == (64, 60.0)
    assert config.finals.final_rate == 0.5
    assert len(notes) == 6


def test_words_of_conditions_name_the_kinds_that_meet_them():
    """Messages are written out by hand; a new kind must be added to them."""
    for section, key, attribute in (
        ("finals", "final_rate", "trains_on"),
        ("fitness", "refit", "mixes_untrained"),
    ):
        options = getattr(RunConfig(), section)
        setting = next(item for item in dataclasses.fields(options) if item.name == key)
        (when,) = setting.metadata["read_when"]
        assert when.name == f"kind.{attribute}"
        kinds = [name for name, kind in KINDS.items() if getattr(kind, attribute)]
        assert re.findall('"([a-z]+)"', when.words) == kinds


def test_a_stored_configuration_of_version_0_1_is_understood_whole():
    """All keys of [search] as version 0.1 wrote them, those without effect included."""
    old = {
        "mode": "generational", "population": 5, "generations": 5, "inheritance": "halving",
        "lines": 1, "branches": 2, "lookahead": 1, "reference": "depth", "granularity": "block",
        "tournament": 3, "crossover_rate": 0.8, "mutations": 1.5, "breeding": "genetic", "rungs": [],
        "rung_keep": 0.5, "rung_correlation": 0.5, "elites": 9, "noise_repeats": 2, "finalists": 2,
        "final_seeds": 2,
    }  # fmt: skip
    found = translate(({"search": old},), RunConfig.renamed, RunConfig, is_stored=True)
    assert found.problems == []
    assert found.tables == {
        "search": {"kind": "halving", "granularity": "block"},
        "halving": {"population": 5, "generations": 5, "lines": 1, "branches": 2},
        "finals": {"noise_repeats": 2, "finalists": 2, "final_seeds": 2},
    }
