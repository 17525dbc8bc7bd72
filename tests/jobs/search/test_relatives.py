"""What one gene moves: shares for donors of one lineage, blocks for others, or as asked."""

import numpy as np
import pytest
from nano_run import write_nano_experiment
from random_donors import TINY, random_donor

from efn_compose.config import dump_toml, load_config
from efn_compose.errors import ConfigError, IncompatibleDonorsError
from efn_compose.jobs.search.preparation import check_settings, prepare


@pytest.fixture
def family(tmp_path):
    """Return a function that writes an experiment with so many donors of one lineage."""

    def write(kind="genetic", count=3):
        config = write_nano_experiment(tmp_path, kind=kind)
        first, generator = (
            random_donor(TINY, 1, name="donor1", classes=None),
            np.random.default_rng(3),
        )
        for number in range(2, count + 1):
            moved = {
                name: values + 1e-3 * generator.standard_normal(values.shape).astype(np.float32)
                for name, values in first.tensors.items()
            }
            first.replace(name=f"donor{number}", tensors=moved).save(tmp_path / f"donor{number}.h5")
        files = ", ".join(f'"{tmp_path / f"donor{number}.h5"}"' for number in range(1, count + 1))
        return config, [f"donors.files=[{files}]", "donors.siblings=0"]

    return write


@pytest.mark.parametrize(
    ("kind", "overrides", "error", "words"),
    [
        ("cma", [], IncompatibleDonorsError, r"2 lineages:\n  - 'donor1'\n  - 'donor2'"),
        (
            "genetic",
            ["donors.ancestor=nobody"],
            ConfigError,
            "'nobody' names no donor. Allowed: donor1",
        ),
        ("halving", [], ConfigError, "'halving' makes donors of trained candidates"),
    ],
)
def test_a_search_over_shares_refuses_donors_without_an_ancestor(
    tmp_path, kind, overrides, error, words
):
    config = write_nano_experiment(tmp_path, kind=kind)
    with pytest.raises(error, match=words):
        prepare(config, ["search.granularity=block_share", *overrides])


@pytest.mark.parametrize("kind", ["genetic", "steady", "random", "cma"])
def test_three_donors_of_one_lineage_are_searched_by_share(family, kind):
    config, overrides = family(kind)
    prepared = prepare(config, overrides)
    assert prepared.config.search.granularity == "network_share"
    is_said = "All 3 donors are of one lineage" in " ".join(prepared.data.notes)
    assert is_said is (kind != "cma"), "CMA-ES knows nothing but shares"


@pytest.mark.parametrize(
    ("kind", "count", "overrides", "expected"),
    [
        ("genetic", 2, [], "block"),
        ("genetic", 3, ["donors.siblings=1"], "block"),
        ("genetic", 3, ["search.granularity=stage"], "stage"),
        ("halving", 3, [], "block"),
        ("lamarck", 3, [], "block"),
        ("genetic", 2, ["donors.ancestor=donor1"], "network_share"),
        ("cma", 2, [], "network_share"),
    ],
)
def test_other_searches_move_blocks_or_what_they_are_told(family, kind, count, overrides, expected):
    config, given = family(kind, count)
    prepared = prepare(config, [*given, *overrides])
    assert prepared.config.search.granularity == expected
    assert "lineage" not in " ".join(prepared.data.notes)


def test_strangers_are_searched_by_block(tmp_path):
    config = write_nano_experiment(tmp_path)
    stranger = random_donor(TINY, 5, name="donor3", classes=None)
    stranger.save(tmp_path / "donor3.h5")
    files = ", ".join(f'"{tmp_path / f"donor{number}.h5"}"' for number in (1, 2, 3))
    prepared = prepare(config, [f"donors.files=[{files}]", "donors.siblings=0"])
    assert prepared.config.search.granularity == "block"


def test_what_only_shares_need_is_refused_with_strangers(tmp_path):
    with pytest.raises(IncompatibleDonorsError, match="2 lineages"):
        prepare(write_nano_experiment(tmp_path / "cma", kind="cma"))
    config = write_nano_experiment(tmp_path / "named")
    with pytest.raises(IncompatibleDonorsError, match="2 lineages"):
        prepare(config, ["donors.ancestor=donor1"])


def test_an_operator_that_shares_do_not_read_is_not_ignored(family):
    config, overrides = family()
    operators = ["genetic.crossover=uniform_stages", "genetic.selection=ranking"]
    with pytest.raises(ConfigError) as caught:
        prepare(config, [*overrides, *operators])
    assert "'auto' stands for 'network_share' with these donors" in str(caught.value)
    assert "genetic.crossover" in str(caught.value)
    assert "genetic.selection" in str(caught.value)
    kept = prepare(config, [*overrides, *operators, "search.granularity=block"])
    assert kept.config.genetic.crossover == "uniform_stages"


def test_a_resumed_run_keeps_all_that_was_decided_when_it_began(family, tmp_path):
    config, overrides = family()
    left_open = [*overrides, "fitness.epochs=auto", "fitness.batch_size=0"]
    decided = ["search.granularity=stage_share", "fitness.epochs=7", "fitness.batch_size=6"]
    folder = tmp_path / "run"
    folder.mkdir()
    begun = prepare(config, [*overrides, *decided])
    (folder / "config.toml").write_text(dump_toml(begun.config))
    (folder / "environment.json").write_text("{}")  # which makes it a run
    again = prepare(config, left_open, resume=True)
    assert again.config == begun.config
    assert again.identity == begun.identity
    assert prepare(config, left_open).config.search.granularity == "network_share"
    # What somebody asks for is not taken from the run, which then refuses it.
    assert prepare(config, [*overrides, "fitness.epochs=2"], resume=True).config.fitness.passes == 2
    (folder / "config.toml").write_text("no = toml = at all")
    assert prepare(config, left_open, resume=True).config.search.granularity == "network_share"


def test_a_search_by_cma_needs_no_granularity_before_donors_are_known(family):
    config, overrides = family("cma")
    check_settings(load_config(config, overrides))
    with pytest.raises(ConfigError, match="moves shares"):
        check_settings(load_config(config, [*overrides, "search.granularity=block"]))
