"""How fast weights are composed, next to how fast this machine copies memory.

Random arrays of the size of a network, two donors, half of the units of every
block taken from the second, into buffers that are kept from candidate to
candidate. "Assign" is what a worker does with the result: all weights into
TensorFlow variables, both slots of the optimizer to zero. "Copy" is the time numpy
takes to copy the mixed tensors. Gates: compose and assign under 100 ms for B0 and
1 s for B7, and compose at half of the copy's bandwidth. A copy moves each byte
twice (read, write), a mixture three times (both donors are read); so there are two
shares: of the copy's time, and of its bandwidth in bytes moved. Times are the best
of several runs, taken in turn, on one thread.

    python experiments/compose_speed.py -o experiments/results/compose_speed.md

Expected: one minute.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

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

    variables = {name: tf.Variable(array) for name, array in donors[0].items()}
    slots = [
        [tf.Variable(tf.zeros_like(variables[tensor.name])) for _ in range(2)]
        for tensor in inventory(spec)
        if tensor.is_trainable
    ]

    def assign() -> None:
        for name, variable in variables.items():
            variable.assign(composed[name])
        for pair in slots:
            for slot in pair:
                slot.assign(tf.zeros_like(slot))

    def copy() -> None:
        for name in mixed:
            np.copyto(targets[name], donors[0][name])

    jobs: dict[str, Callable[[], object]] = {
        "compose": lambda: compose(spec, donors, donor_map),
        "into buffers": lambda: compose(spec, donors, donor_map, out=targets),
        "assign": assign,
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
        f"{1e3 * best['into buffers']:.1f} ms | {1e3 * best['assign']:.1f} ms | "
        f"{1e3 * (best['into buffers'] + best['assign']):.1f} ms | "
        f"{1e3 * best['copy']:.1f} ms | {100 * share:.0f} % | {150 * share:.0f} % |"
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    lines = [
        "# Compose speed",
        "",
        "Two donors, half of the units of every block from each; one thread, float32. Best of "
        f"{options.repeats} runs.",
        "A copy reads and writes, a mixture reads twice and writes; hence two shares.",
        f"Made by `python experiments/compose_speed.py --repeats {options.repeats} "
        "-o experiments/results/compose_speed.md`.",
        "",
        "| network | mixed tensors | compose | into buffers | assign | buffers + assign | copying "
        "| share of the copy's time | of its bandwidth |",
        "|---|---|---|---|---|---|---|---|---|",
        *(measure(variant, options.repeats) for variant in VARIANTS),
    ]
    text = "\n".join(lines) + "\n"
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
