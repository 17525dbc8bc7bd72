"""What a run takes of a machine: by hand for a stated machine, and refused where it does not fit."""

import re
import shutil

import pytest

from efn_compose.arch import arch_spec
from efn_compose.errors import ConfigError
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan

GB = int(1e9)


def plan(machine=None, **changes):
    fields = {"batch_size": 32, "size": 224, "images": 60_000, "networks": 4, "workers": 2}
    demand = Demand(arch_spec("b0"), **(fields | changes))
    return MemoryPlan(demand, machine or Machine(24 * GB, 50 * GB))


def test_bytes_by_hand():
    found = plan()
    # 60,000 x 224 x 224 x 3, three copies of 9 GB would be more than 12 GB.
    assert found.is_cached and found.disk_bytes == 9_031_680_000
    # Published: 4,007,548 parameters without classifier and without input normalisation.
    assert found.network_bytes == 4 * 4_007_548
    assert found.shared_bytes == 4 * found.network_bytes
    assert found.node_bytes == 2 * found.worker_bytes + found.shared_bytes + found.driver_bytes
    held = plan(images=10_000)
    assert not held.is_cached and held.disk_bytes == 0
    assert held.shared_bytes - found.shared_bytes == 10_000 * 224 * 224 * 3
    # Without Ray there is one process.
    alone = plan(in_ray=False, workers=1)
    assert alone.shared_bytes == 0 and alone.driver_bytes == 4 * found.network_bytes


def test_a_plan_that_does_not_fit_names_two_settings_that_each_make_it_fit():
    machine = Machine(12 * GB, 50 * GB)
    with pytest.raises(ConfigError, match="does not fit on this machine") as caught:
        plan(machine, workers=4).check("fitness.batch_size")
    ways = re.findall(r"(executor\.workers|fitness\.batch_size) = (\d+)", str(caught.value))
    assert [name for name, _ in ways] == ["executor.workers", "fitness.batch_size"]
    for name, value in ways:
        field = name.partition(".")[2]
        assert plan(machine, **{"workers": 4, field: int(value)}).fits
    one_more = int(ways[0][1]) + 1
    assert not plan(machine, workers=one_more).fits


def test_a_disk_that_is_too_small_and_a_machine_for_which_nothing_is_small_enough():
    with pytest.raises(
        ConfigError, match=r"the decoded images are 9\.0 GB.*\n.*data.size = 1\d\d\."
    ):
        plan(Machine(24 * GB, 5 * GB)).check("fitness.batch_size")
    with pytest.raises(ConfigError, match="take a smaller network"):
        plan(Machine(GB, 50 * GB)).check("fitness.batch_size")


def test_images_that_are_to_be_held_are_sent_to_the_cache_where_they_do_not_fit():
    with pytest.raises(ConfigError, match=r'executor\.images = "cache"'):
        plan(images_in="memory").check("fitness.batch_size")


def test_old_files_of_the_cache_count_as_room_for_new_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path))
    monkeypatch.setenv("EFN_COMPOSE_CACHE_GB", "100")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(9, 6, 10**6))
    assert Machine.here().disk_bytes == 10**6
    # A whole number of blocks on every usual file system.
    (tmp_path / "old.images").write_bytes(b"x" * 2**20)
    assert Machine.here().disk_bytes == 10**6 + 2**20
    monkeypatch.setenv("EFN_COMPOSE_CACHE_GB", "0.002")
    assert Machine.here().disk_bytes == 2 * 10**6
