"""A relay killed fifty times: does it end with the bytes of a training that nobody disturbed?

Purpose: a training on digits in three legs, each in a folder of its own, ended in the middle of an
         epoch. Every leg runs in a process that is killed by SIGKILL again and again: half of the kills at
         a random moment, half just before or after a random write to the disk (`os.replace`,
         `os.fsync`), where half-written files would come from. After each kill the same command is
         given again. Every relay must end with the files of one training that ran alone.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/relay_kills.py
Time:    about ten minutes of one core.
Result:  experiments/results/relay.md
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.arch import ArchSpec, BlockSpec, default_conventions, inventory
from efn_compose.donors import Donor
from efn_compose.errors import RunError
from efn_compose.jobs.relay.deadline import TimeIsUp
from efn_compose.jobs.relay.job import accept, run_leg
from efn_compose.jobs.relay.legs import OpenLeg, read_legs
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.nesting.fills import fresh_values
from efn_compose.store.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, OPEN_LEG_FILE

SETTINGS = (
    "data.source=digits", "data.images=160", "data.size=16", "validation.folds=2",
    "validation.seeds=1", "train.epochs=3", "train.batch_size=16", "train.ema=0.9",
    "executor.kind=serial",
)  # fmt: skip
#: Two blocks: what is looked for hangs on no network, and a leg takes seconds.
NETWORK = ArchSpec(
    variant="b-tiny", family="b", width=0.1, depth=0.1, resolution=16, dropout=0.2, stem_channels=8,
    blocks=(
        BlockSpec(1, 1, "mbconv", 3, 1, 8, 8, 8, 2, False, True),
        BlockSpec(2, 1, "mbconv", 3, 2, 8, 24, 16, 2, True, False),
    ),
    top_channels=32,
)  # fmt: skip
#: Updates after which a leg's time is up; the last one goes to the end.
STOPS = (9, 11, 0)
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tensorflow", "keras", "efn_compose.jobs.relay.job"])


def words(place: Path, folder: str) -> list[str]:
    """Return the configuration of a run in a folder of a place."""
    return [f"weights.file={place / 'start.h5'}", *SETTINGS, f"run.path={place / folder}"]


def leg(place: Path, relay: str, number: int, kill_at: int, counted: Path) -> None:
    """Run a leg, or go on with it: what a person types, who types it again after a kill.

    Args:
        place: Folder of everything.
        relay: Folder of this relay.
        number: Of the leg, from 0.
        kill_at: The process kills itself at this write to the disk; 0: never.
        counted: Where it says how many writes there were.
    """
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    home = place / relay
    parcel, folder = home / f"{number + 1}.efn", home / f"folder{number}"
    _watch_writes(kill_at, counted)
    _stop_after(STOPS[number])
    if number == 0:
        goes_on = (folder / ENVIRONMENT_FILE).exists()
        run_leg(
            "train",
            None,
            words(place, f"{relay}/folder0"),
            parcel=parcel,
            resume=goes_on,
            quiet=True,
        )
        return
    try:
        accept(home / f"{number}.efn", folder, next_parcel=parcel, quiet=True)
    except RunError as error:
        if "already at leg" not in str(error):
            raise
        # The leg had ended and its parcel was never written: the message says how to write it.
        config = folder / CONFIG_FILE
        run_leg("train", config, [f"run.path={folder}"], parcel=parcel, resume=True, quiet=True)


def _watch_writes(kill_at: int, counted: Path) -> None:
    done = 0

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done == kill_at and kill_at % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            found = original(*arguments, **options)
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            counted.write_text(str(done))
            return found

        return call

    os.replace, os.fsync = watched(os.replace), watched(os.fsync)  # type: ignore[assignment]


def _stop_after(updates: int) -> None:
    original, done = TrainingProgress.on_update, 0

    def on_update(self: Any, made: int, planned: int, loss: float) -> None:
        nonlocal done
        done += 1
        if done == updates:
            raise TimeIsUp
        original(self, made, planned, loss)

    TrainingProgress.on_update = on_update  # type: ignore[method-assign]


def where(home: Path, number: int) -> str:
    """Return what a killed leg was doing, by what it left."""
    folder, parcel = home / f"folder{number}", home / f"{number + 1}.efn"
    marker = folder / OPEN_LEG_FILE
    if marker.exists():
        opened = OpenLeg(**json.loads(marker.read_text(encoding="utf-8")))
        return "training" if opened.is_unpacked else "unpacking"
    if not (folder / ENVIRONMENT_FILE).exists():
        return "before the run"
    if number == 0 and not read_legs(folder):
        return "training"
    return "after its parcel" if parcel.exists() else "writing its parcel"


def files(folder: Path) -> dict[str, bytes]:
    """Return the results in a run folder by name."""
    weights = [path for path in folder.rglob("*.h5") if "inputs" not in path.parts]
    names = [*weights, folder / "leaderboard.md", folder / "result.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(names)}


class Campaign:
    """Relays that are killed, until there were enough kills."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.chance = place, random.Random(seed)
        self.seconds, self.writes = [0.0] * len(STOPS), [1] * len(STOPS)
        self.kills: list[tuple[str, str]] = []

    def attempt(self, relay: str, number: int, how: str) -> bool:
        """Run a leg once; return whether it was killed.

        Args:
            relay: Folder of the relay.
            number: Of the leg, from 0.
            how: "moment", "write", or "" for no kill.
        """
        counted = self.place / "writes"
        kill_at = self.chance.randint(1, self.writes[number]) if how == "write" else 0
        process = _FORKS.Process(target=leg, args=(self.place, relay, number, kill_at, counted))
        begun = time.monotonic()
        process.start()
        wait = self.chance.uniform(0, self.seconds[number]) if how == "moment" else None
        process.join(wait)
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode == -signal.SIGKILL:
            self.kills.append((how, where(self.place / relay, number)))
            return True
        if process.exitcode:
            raise SystemExit(f"leg {number + 1} of {relay} failed; killed before: {self.kills}")
        if not how:
            self.seconds[number] = max(self.seconds[number], time.monotonic() - begun)
            self.writes[number] = max(self.writes[number], int(counted.read_text()))
        return False

    def relay(self, name: str, wanted: int) -> None:
        """Run three legs and kill each some times, up to a number of kills in all."""
        (self.place / name).mkdir()
        for number in range(len(STOPS)):
            for _ in range(6):
                if len(self.kills) >= wanted:
                    break
                how = "moment" if len(self.kills) % 2 else "write"
                if not self.attempt(name, number, how) or self.ended(name, number):
                    break
            else:
                self.attempt(name, number, "")
            if not self.ended(name, number):
                self.attempt(name, number, "")

    def ended(self, name: str, number: int) -> bool:
        """Return whether a leg has handed its run on."""
        return (self.place / name / f"{number + 1}.efn").exists()


def main() -> None:
    """Kill, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fresh = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(NETWORK)}
        start = Donor("start", NETWORK, default_conventions(NETWORK), fresh)
        start.save(place / "start.h5")
        alone = ("train", None, words(place, "alone"))
        whole = _FORKS.Process(target=run_leg, args=alone, kwargs={"quiet": True})
        whole.start()
        whole.join()
        truth = files(place / "alone")
        campaign = Campaign(place, chosen.seed)
        number, differing, left = 0, [], 0
        while number == 0 or len(campaign.kills) < chosen.kills:
            name = f"relay{number}"
            # The first one is not killed: it says how long a leg takes, and how often it writes.
            campaign.relay(name, chosen.kills if number else 0)
            found = files(place / name / f"folder{len(STOPS) - 1}")
            differing += [n for n in {*truth, *found} if truth.get(n) != found.get(n)]
            left += len([*(place / name).rglob("*.partial")])
            number += 1
            print(f"{name}: {len(campaign.kills)} kills, differing: {differing}", flush=True)
        print(table(campaign, number, len(truth), differing, left))


def table(campaign: Campaign, relays: int, count: int, differing: list[str], left: int) -> str:
    """Return what is published, in Markdown."""
    kinds = collections.Counter(campaign.kills)
    places = ("before the run", "unpacking", "training", "writing its parcel", "after its parcel")
    lines = ["| the leg was | killed at a moment | killed at a write |", "|---|---|---|"]
    lines += [f"| {at} | {kinds['moment', at]} | {kinds['write', at]} |" for at in places]
    seconds = np.round(campaign.seconds, 1).tolist()
    return "\n".join(
        [
            *lines,
            "",
            f"{relays} relays, {len(campaign.kills)} kills; {count} files each; differing files: "
            f"{', '.join(differing) or 'none'}; files left by a kill at the end: {left}.",
            f"Seconds of a leg that was not killed: {seconds}; writes: {campaign.writes}.",
        ]
    )


if __name__ == "__main__":
    main()
