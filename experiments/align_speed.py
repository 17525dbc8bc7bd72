"""How long does alignment take, and does a donor keep its logits through it?

Pairs of one network: ImageNet Lite0 nested into Lite1 against ImageNet Lite1, and for
networks without two independent trainings at hand two random ones, whose BatchNorm
statistics are those of the images. Images are crops of the photographs that scikit-image
and scikit-learn ship. The cache is read back in a second call. Logits are compared on
held-out crops, relative to the largest logit; gate 1e-4. Deep random networks magnify
rounding, so that theirs are compared in double precision too. The gate of time is 60 s
for 200 images, at the network's nominal size.

    python experiments/align_speed.py -o experiments/results/alignment.md

Expected: two minutes on two idle cores.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from unit_mixing import crops, donors, photographs

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.donors import Donor
from efn_compose.donors.alignment.align import align
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.repair import repair

#: Networks and the sizes their images have; small ones where only the logits matter.
CASES = (("lite1", 224), ("b0", 224), ("b1", 64), ("v2-b0", 64), ("v2-b1", 64), ("v2-s", 64))


def random_donor(variant: str, seed: int, images: np.ndarray) -> Donor:
    """Return a network with random weights whose BatchNorm statistics are those of images."""
    spec, rng = arch_spec(variant), np.random.default_rng(seed)
    tensors = {}
    for tensor in inventory(spec, 1000):
        if tensor.role in ("kernel", "depthwise_kernel"):
            axes = tensor.shape[:2] if tensor.role == "depthwise_kernel" else tensor.shape[:-1]
            values = rng.normal(size=tensor.shape) * np.sqrt(2 / np.prod(axes))
        elif tensor.role in ("gamma", "moving_variance"):
            values = rng.uniform(0.6, 1.4, tensor.shape)
        else:
            values = rng.normal(size=tensor.shape) * 0.2
        tensors[tensor.name] = values.astype(np.float32)
    donor = Donor(f"{variant}-{seed}", spec, default_conventions(spec), tensors)
    repaired = repair(spec, donor.conventions, tensors, donor.preprocess(images))
    return donor.replace(tensors={**tensors, **repaired})


def measure(variant: str, size: int, count: int) -> str:
    """Return a network's row of the table."""
    photos = photographs()
    images, held_out = (crops(photos, n, size, n == 16, seed=n) for n in (count, 16))
    if variant == "lite1":
        pair, what = donors(), "ImageNet Lite1, Lite0 nested"
    else:
        pair = tuple(random_donor(variant, seed, images[:32]) for seed in (0, 1))
        what = f"random {variant.upper()}"
    with tempfile.TemporaryDirectory() as cache:
        begin = time.perf_counter()
        found = align(pair, images, cache=cache)
        middle = time.perf_counter()
        again = align(pair, images, cache=cache)
        end = time.perf_counter()
    if again.reused != (pair[1].name,):
        raise RuntimeError(f"{variant}: the cache was not used")
    single = change(pair[1], found.donors[1], held_out, "float32")
    exact = [
        donor.replace(tensors={n: v.astype(np.float64) for n, v in donor.tensors.items()})
        for donor in pair
    ]
    double = change(exact[1], align(exact, images[:40]).donors[1], held_out, "float64")
    return (
        f"| {what} | {size} px | {middle - begin:.1f} s | {end - middle:.1f} s | {single:.1e} | "
        f"{double:.1e} |"
    )


def change(one: Donor, other: Donor, images: np.ndarray, dtype: str) -> float:
    """Return the largest difference of two donors' logits, relative to the largest logit."""
    before, after = (
        StepwiseNetwork.of(donor, dtype).predict(donor.preprocess(images)) for donor in (one, other)
    )
    return float(np.abs(after - before).max() / np.abs(before).max())


def main() -> None:
    """Measure and write the table after every network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    lines = [
        "# Alignment: time, cache, logits",
        "",
        f"`align` of two donors of one network on {options.images} images, default method "
        "(Procrustes), two cores.",
        "Change of logits: the largest, relative to the largest logit, on 16 held-out crops; in double "
        "precision fitted on 40 images.",
        "Made by `python experiments/align_speed.py -o experiments/results/alignment.md`.",
        "",
        "| donors | images | align | from the cache | change, single | change, double |",
        "|---|---|---|---|---|---|",
    ]
    for variant, size in CASES:
        lines.append(measure(variant, size, options.images))
        print(lines[-1], flush=True)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
