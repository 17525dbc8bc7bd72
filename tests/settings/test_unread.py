"""Settings without effect are refused by name, with what would read them and what to do."""

from dataclasses import dataclass

import pytest

from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.errors import ConfigError
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.settings.declare import When, section, setting


@dataclass(frozen=True)
class Oven:
    fuel: str = setting("gas", "what it burns", choices=("gas", "wood", "none"))
    pressure: float = setting(1.0, read_when=When("fuel", ("gas",)))
    logs: int = setting(0, read_when=When("fuel", ("wood",)))
    tray: int = setting(1, read_when=(When("fuel", ("gas", "wood")), When("garden.grill", (True,))))
    glove: str = setting("red", read_when=When("is_hot", (True,), "a fuel that is none"))

    @property
    def is_hot(self) -> bool:
        return self.fuel != "none"


@dataclass(frozen=True)
class Garden:
    grill: bool = False
    coal: int = setting(0, read_when=When("grill"))


@dataclass(frozen=True)
class Pool:
    depth: int = 2
    tiles: int = 100


@dataclass(frozen=True)
class Home:
    oven: Oven = section(Oven)
    garden: Garden = section(Garden)
    pool: Pool = section(Pool, read_when=When("garden.grill", (True,)))


def _refused(overrides, schema=Home, path=None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides, schema)
    return str(caught.value)


def test_a_setting_without_effect_is_named_with_its_reader_and_the_next_step():
    assert (
        'oven.logs = 3 has no effect with oven.fuel = "gas": it is read with oven.fuel = "wood" only. '
        'Remove oven.logs, or set oven.fuel = "wood".'
    ) in _refused(["oven.logs=3"])
    assert (
        "garden.coal = 5 has no effect with garden.grill = false: it is read with garden.grill set only. "
        "Remove garden.coal, or set garden.grill."
    ) in _refused(["garden.coal=5"])


def test_nothing_is_said_of_settings_that_depend_on_a_mistake():
    """Whether wood or gas was meant, logs and pressure may have an effect."""
    words = _refused(["oven.fuel=wod", "oven.logs=3", "garden.coal=5"])
    assert words.count("\n  - ") == 2 and "oven.fuel: allowed" in words and "garden.coal" in words
    words = _refused(["garden.grill=maybe", "pool.depth=3", "garden.coal=5"])
    assert words.count("\n  - ") == 1 and "garden.grill: allowed" in words


def test_any_of_several_readers_suffices_in_whatever_section():
    assert load_config(None, ["oven.fuel=wood", "oven.tray=4"], Home).oven.tray == 4
    assert load_config(None, ["oven.fuel=none", "garden.grill=true", "oven.tray=4"], Home)
    message = _refused(["oven.fuel=none", "oven.tray=4"])
    assert 'oven.fuel = "gas" or "wood" or garden.grill = true' in message


@pytest.mark.parametrize(
    ("schema", "section"),
    [(RunConfig, "data"), (EnsembleConfig, "data"), (PretrainConfig, "labelled")],
)
def test_columns_have_names_in_four_kinds_of_sources(schema, section):
    columns = f'{section}.columns=["image=x"]'
    for kind in ("csv", "tfrecord", "parquet", "tar"):
        assert load_config(None, [f"{section}.source={kind}:x", columns], schema)
    message = _refused([f"{section}.source=digits", columns], schema)
    assert f"{section}.source = csv:PATH, tfrecord:PATH, parquet:PATH or tar:PATH" in message


def test_a_reader_may_be_described_in_words():
    assert "it is read with a fuel that is none only" in _refused(
        ["oven.fuel=none", "oven.glove=blue"]
    )


def test_a_default_written_out_asks_for_nothing_but_a_section_that_is_not_read_may_not_be_there(
    tmp_path,
):
    assert load_config(None, ["oven.logs=0"], Home) == Home()
    path = tmp_path / "home.toml"
    path.write_text("[pool]\ndepth = 2\ntiles = 100\n")
    message = _refused([], path=path)
    assert "pool.depth, pool.tiles have no effect with garden.grill = false" in message
    assert "Remove [pool], or set garden.grill = true." in message
    path.write_text("[pool]\n")
    assert "[pool] has no effect" in _refused([], path=path)


def test_all_are_named_at_once_beside_other_problems():
    message = _refused(["oven.logs=3", "garden.coal=5", "pool.width=3", "pool.depth=1"])
    assert "4 problems" in message
    for name in ("oven.logs", "garden.coal", "pool.width", "pool.depth"):
        assert name in message


def test_what_is_not_read_is_not_written_and_what_is_written_reads_back():
    text = dump_toml(Home())
    assert "logs" not in text and "[pool]" not in text and "pressure" in text
    assert "[pool]" in dump_toml(Home(garden=Garden(grill=True)))


@pytest.mark.parametrize(
    ("name", "overrides", "reader"),
    [
        ("executor.workers", ["executor.kind=serial", "executor.workers=8"], '"ray"'),
        ("executor.address", ["executor.kind=serial", "executor.address=auto"], '"ray"'),
        ("executor.retries", ["executor.kind=serial", "executor.retries=5"], '"ray"'),
        ("executor.retries", ["executor.workers=1", "executor.retries=5"], '"ray"'),
        ("executor.memory_limit_mb", ["executor.kind=serial", "executor.memory_limit_mb=9"], "ray"),
        ("executor.workers_per_gpu", ["executor.device=cpu", "executor.workers_per_gpu=2",
                                      "executor.gpu_memory_mb=5"], '"gpu"'),
        ("executor.gpu_memory_mb", ["executor.kind=serial", "executor.gpu_memory_mb=5"], '"gpu"'),
        ("augment.grid_cells", ["augment.grid_cells=2"], "augment.grid set"),
        ("augment.hole_size", ["augment.hole_size=0.5"], "augment.holes set"),
        ("augment.randaugment_strength", ["augment.randaugment_strength=0.5"], "randaugment_ops set"),
        ("executor.patience", ["executor.kind=serial", "executor.patience=9"], '"ray"'),
        ("finals.final_rate", ["finals.final_rate=0.5"], '"halving" or "lamarck"'),
        ("fitness.refit", ["search.kind=lamarck", "fitness.refit=true"], '"genetic", "steady"'),
        ("data.unreadable_share", ["data.unreadable_share=0.1", "data.source=digits"], "folder:PATH"),
    ],
)  # fmt: skip
def test_settings_of_a_run_that_were_ignored_in_silence(name, overrides, reader):
    message = _refused(overrides, RunConfig)
    assert f"{name} = " in message
    assert reader in message
    assert f"Remove {name}" in message


def test_settings_are_read_where_something_reads_them():
    for overrides in (
        ["executor.workers=8"],
        ["executor.workers=1", "executor.address=auto", "executor.retries=5"],
        ["executor.kind=serial", "executor.memory_limit_mb=9", "fitness.batch_size=0"],
        ["executor.device=gpu", "executor.kind=serial", "executor.gpu_memory_mb=5"],
        ["augment.grid=0.5", "augment.grid_cells=2"],
    ):
        load_config(None, overrides)


def test_trainings_refuse_alike():
    assert "augment.hole_size" in _refused(["augment.hole_size=0.5"], TrainConfig)
    assert "executor.workers" in _refused(
        ["executor.kind=serial", "executor.workers=2"], TrainConfig
    )
