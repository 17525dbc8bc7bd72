"""The story of story.toml killed at five random points: does it end with the bytes of one that ran alone?

    python experiments/story.py --seeds 1                (the chain is the run that nobody disturbs)
    python experiments/story_kills.py                    (resumable; about 20 minutes of two cores)

The points are drawn uniformly over the time that the chapters of the chain took: each is a chapter, and so
many seconds of it. When the run has come to that chapter and spent these seconds there, the command and all
processes that it has started are killed by SIGKILL, as if the plug were pulled. The same command with
--resume goes on until the next point. At the end every submission, weight file and table of
out-of-fold answers is compared with that of the chain. Both runs need the same version of the program and
the same number of cores: other threads round otherwise.
Result: experiments/results/story.md
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from story import lines, read_chain

from efn_compose.jobs.pipeline.story import Story
from efn_compose.store.run_folder import ENVIRONMENT_FILE

#: What a run hands on, by the ends of names.
COMPARED = (".csv", ".h5", ".parquet")


def kill_points(whole: float, count: int, seed: int) -> list[float]:
    """Return seconds since the beginning, ascending, uniform over a run's time."""
    chance = random.Random(seed)
    return sorted(chance.uniform(0, whole) for _ in range(count))


def descendants(process: int) -> list[int]:
    """Return the numbers of all processes that a process has started, itself or through others."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before it stands in brackets and may hold anything.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    found, ends = [], [process]
    while ends:
        ends = [child for parent in ends for child in children.get(parent, [])]
        found += ends
    return found


def pull_the_plug(command: "subprocess.Popen[bytes]") -> int:
    """Kill a command with all that it has started; return how many processes that were."""
    every = [command.pid, *descendants(command.pid)]
    for process in every:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    command.wait()
    return len(every)


def doing(story: Story, folder: Path) -> str:
    """Return what a killed run was doing, by what it left."""
    done = {line["chapter"] for line in lines(folder) if "products" in line}
    begun = [
        chapter.name
        for chapter in story.chapters
        if chapter.name not in done and (folder / chapter.name).is_dir()
    ]
    if begun:
        return begun[0]
    if not done:
        return "plan B" if (folder / "plan_b").is_dir() else "before plan B"
    return f"after {list(done)[-1]}"


def files(folder: Path) -> dict[str, bytes]:
    """Return all that a run hands on, by its place."""
    every = sorted(path for path in folder.rglob("*") if path.suffix in COMPARED)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in every}


def chapter_at(chain: Sequence[Mapping[str, Any]], point: float) -> tuple[str, float]:
    """Return the chapter of a run at a point of its time, and the seconds that it was in it.

    Args:
        chain: The journal's lines of its chapters, in their order.
        point: Seconds since the first chapter began.
    """
    for line in chain:
        if point < line["timing"]["seconds"]:
            return line["chapter"], point
        point -= line["timing"]["seconds"]
    return chain[-1]["chapter"], chain[-1]["timing"]["seconds"]


def run_until(
    file: Path, folder: Path, story: Story, chapter: str = "", seconds: float = 0.0
) -> int:
    """Run the pipeline, or go on with it, until a point; return the number of processes killed.

    Args:
        file: The story.
        folder: Its run folder.
        story: The same, read.
        chapter: Where to kill it; empty: let it run to its end.
        seconds: After so many of them in that chapter.
    """
    words = [
        sys.executable,
        "-m",
        "efn_compose",
        "pipeline",
        str(file),
        "-o",
        str(folder),
        "--quiet",
    ]
    if (folder / ENVIRONMENT_FILE).is_file():
        words.append("--resume")
    names = [one.name for one in story.chapters]
    with (folder.parent / "killed.log").open("ab") as log:
        command = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            while chapter and command.poll() is None:
                at = doing(story, folder) if (folder / ENVIRONMENT_FILE).is_file() else ""
                if at in names and names.index(at) >= names.index(chapter):
                    time.sleep(seconds)
                    break
                time.sleep(0.2)
            if chapter and command.poll() is None:
                return pull_the_plug(command)
            code = command.wait()
        except BaseException:
            pull_the_plug(command)
            raise
    if code:
        raise SystemExit(f"the pipeline ended with code {code}: {folder.parent / 'killed.log'}")
    return 0


def main() -> None:
    """Kill, resume, compare, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the chain, and of the points")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/stories"))
    parser.add_argument("--set", nargs="+", default=[], metavar="CHAPTER.SECTION.KEY=VALUE")
    options = parser.parse_args()
    place = options.folder / f"seed{options.seed}"
    chain, folder, kept = place / "the_chain", place / "killed", place / "kills.jsonl"
    story = read_chain(options.seed, place / "images", options.set)
    file = place / "killed.toml"
    file.write_text(story.to_toml(), encoding="utf-8")
    journal = [line for line in lines(chain) if "products" in line]
    whole = sum(line["timing"]["seconds"] for line in journal)
    points = kill_points(whole, options.kills, options.seed)
    kills: list[dict[str, Any]] = (
        [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    )
    for point in points[len(kills) :]:
        chapter, seconds = chapter_at(journal, point)
        count = run_until(file, folder, story, chapter, seconds)
        if not count:
            print(f"ended before {point:.0f} s", flush=True)
            break
        kill = {"at": round(point), "processes": count, "doing": doing(story, folder)}
        kills.append(kill)
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(kill) + "\n")
        print(kill, flush=True)
    run_until(file, folder, story)
    truth, found = files(chain), files(folder)
    differing = sorted(name for name in {*truth, *found} if truth.get(name) != found.get(name))
    print("\n| kill | second of the run | processes | it was at |\n|---|---|---|---|")
    for number, kill in enumerate(kills, start=1):
        print(f"| {number} | {kill['at']} | {kill['processes']} | {kill['doing']} |")
    left = len([*folder.rglob("*.partial")])
    print(
        f"\n{len(truth)} files of {sum(map(len, truth.values())) / 1e6:,.0f} MB; differing: "
        f"{', '.join(differing) or 'none'}; files left by a kill: {left}."
    )


if __name__ == "__main__":
    main()
