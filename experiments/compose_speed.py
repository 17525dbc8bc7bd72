"""How fast weights are composed, next to how fast this machine copies memory.

Random arrays of the size of a network, two donors, half of the units of every
block taken from the second. "Copy" is the time numpy takes to copy the same
tensors; gates: under 100 ms for B0, under 1 s for B7, and no more than twice
the copy. Times are the best of several runs, taken in turn.

    python experiments/compose_speed.py -o experiments/results/compose_speed.md

Expected: one minute.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from efn_compose.arch import arch_spec, channel_groups, inventory
from efn_compose.compose import compose
from efn_compose.compose.space import DonorMap, expanded_groups, segments

VARIANTS = ("lite1", "b0", "b4", "b7", "v2-s")


def random_tensors(variant: str, seed: int) -> dict[str, np.ndarray]:
    """Return float32 arrays of a network's backbone."""
    rng = np.random.default_rng(seed)
    return {
        tensor.name: rng.standard_normal(tensor.shape, np.float32)
        for tensor in inventory(arch_spec(variant))
    }


def half_map(variant: str) -> DonorMap:
    """Return a donor map that takes every other unit, in random order, from donor 1."""
    spec, rng = arch_spec(variant), np.random.default_rng(0)
    groups = channel_groups(spec)
    units = {
        group: (rng.permutation(groups[group].size) % 2).astype(np.uint8)
        for group in expanded_groups(spec).values()
    }
    return DonorMap(dict.fromkeys(segments(spec), 0), units)


def measure(variant: str, repeats: int) -> str:
    """Return a network's row of the table."""
    spec = arch_spec(variant)
    donors = [random_tensors(variant, seed) for seed in (0, 1)]
    donor_map = half_map(variant)
    composed = compose(spec, donors, donor_map)
    mixed = [name for name in composed if composed[name] is not donors[0][name]]
    targets = {name: np.empty_like(composed[name]) for name in mixed}

    def copy() -> None:
        for name in mixed:
            np.copyto(targets[name], donors[0][name])

    jobs: dict[str, Callable[[], object]] = {
        "compose": lambda: compose(spec, donors, donor_map),
        "into buffers": lambda: compose(spec, donors, donor_map, out=targets),
        "copy": copy,
    }
    best = dict.fromkeys(jobs, np.inf)
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - start)
    size = sum(composed[name].nbytes for name in mixed)
    share = best["copy"] / best["into buffers"]
    return (
        f"| {variant} | {size / 2**20:.0f} MiB | {1e3 * best['compose']:.1f} ms | "
        f"{1e3 * best['into buffers']:.1f} ms | "
        f"{1e3 * best['copy']:.1f} ms | {100 * share:.0f} % |"
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    lines = [
        "# Compose speed",
        "",
        "Two donors, half of the units of every block from each; one thread, float32. Best of "
        f"{options.repeats} runs.",
        "Made by `python experiments/compose_speed.py -o experiments/results/compose_speed.md`.",
        "",
        "| network | mixed tensors | compose | into buffers | copying | share of copy bandwidth |",
        "|---|---|---|---|---|---|",
        *(measure(variant, options.repeats) for variant in VARIANTS),
    ]
    text = "\n".join(lines) + "\n"
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
