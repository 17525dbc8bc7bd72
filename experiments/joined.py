"""B0 to B7 in one trainable network: `efn-compose join`, saved, loaded, taken apart again, trained one step.

Purpose: the published networks side by side, of full width and depth, each with a size of its own (a
         seventh of the published one); their parameters against the published counts.
Command: python experiments/joined.py [FOLDER]
Needs:   2.5 GB of disk in FOLDER, and the memory that it states.
Time:    about three minutes on one free core.
Result:  experiments/results/ensembles.md
"""

import argparse
import gc
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.cli.shared.command import main as run_verb
from efn_compose.donors import Donor
from efn_compose.nesting.fills import fresh_values

#: Trainable parameters with a classifier of 1,000 classes, as timm's model cards say, and the published size.
PUBLISHED = {
    "b0": (5_288_548, 224),
    "b1": (7_794_184, 240),
    "b2": (9_109_994, 260),
    "b3": (12_233_232, 300),
    "b4": (19_341_616, 380),
    "b5": (30_389_784, 456),
    "b6": (43_040_704, 528),
    "b7": (66_347_960, 600),
}
CLASSES, SIDE, SHRINK = 9, 32, 7
#: Written over and over: what each phase took.
FOUND: dict[str, object] = {}


def write_donors(folder: Path, networks: list[str]) -> list[Path]:
    """Write networks of random weights without classifiers."""
    paths = []
    for number, network in enumerate(networks):
        spec, path = arch_spec(network), folder / f"{network}.h5"
        tensors = {one.name: fresh_values(one, "he", number) for one in inventory(spec)}
        Donor(network, spec, default_conventions(spec), tensors).save(path)
        paths.append(path)
    return paths


def timed(name: str, began: float) -> float:
    """Note the processor seconds of a phase and the peak memory so far; return the present time."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    FOUND[name] = {
        "processor_seconds": round(time.process_time() - began, 1),
        "peak_gib": round(peak, 2),
    }
    print(name, json.dumps(FOUND[name]), flush=True)
    return time.process_time()


def measure(folder: Path, networks: list[str]) -> None:
    """Join, save, load, take apart, ask and train."""
    import keras

    from efn_compose.jobs.ensembles.joint import load_joint

    now = time.process_time()
    paths = write_donors(folder, networks)
    now = timed("donors of random weights", now)
    sizes = [str(round(PUBLISHED[network][1] / SHRINK)) for network in networks]
    file = folder / "joint.keras"
    words = [
        "join",
        *map(str, paths),
        "--classes",
        str(CLASSES),
        "--sizes",
        *sizes,
        "-o",
        str(file),
    ]
    if run_verb(words):
        raise SystemExit("join failed")
    keras.utils.clear_session()
    gc.collect()
    now = timed("efn-compose join", now)
    joint = load_joint(file)
    now = timed("load_joint", now)
    equal = 0
    for network, path in zip(networks, paths, strict=True):
        joint.detach(network).save(folder / "detached.h5")
        equal += (folder / "detached.h5").read_bytes() == path.read_bytes()
    now = timed("every member detached", now)
    specs = [arch_spec(network) for network in networks]
    wanted = sum(
        PUBLISHED[network][0] - 1000 * (spec.top_channels + 1)
        for network, spec in zip(networks, specs, strict=True)
    )
    wanted += CLASSES * (sum(spec.top_channels for spec in specs) + 1)
    trainable = sum(int(np.prod(v.shape)) for v in joint.model.trainable_variables)
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)
    is_finite = bool(np.isfinite(joint.model(images, training=False)).all())
    now = timed("two images asked", now)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Not traced: that would take longer than all the rest.
    joint.model.compile(keras.optimizers.Adam(1e-4), loss, run_eagerly=True)
    before = joint.detach(networks[-1]).fingerprint
    value = float(joint.model.train_on_batch(images, np.array([0, 1])))
    timed("a training step of two images", now)
    FOUND["result"] = {
        "trainable": trainable,
        "published": wanted,
        "members of equal bytes": equal,
        "logits are finite": is_finite,
        "loss": round(value, 3),
        "the last member has learnt": joint.detach(networks[-1]).fingerprint != before,
        "file_bytes": file.stat().st_size,
    }
    print(json.dumps(FOUND["result"], indent=1))


def main() -> None:
    """Measure in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="default: a temporary one")
    parser.add_argument("--networks", nargs="*", default=list(PUBLISHED))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder, options.networks)


if __name__ == "__main__":
    main()
