"""How long a conversion takes and how much memory, against reading and writing the same bytes.

Command:   python experiments/conversion_speed.py
Needs:     pip install -e .[parity] (torch writes the checkpoint; the conversion never imports it)
Expected:  under three minutes; writes experiments/results/conversion_speed.md
Result:    at most twice the time of the copy, peak memory at most checkpoint plus largest tensor

Every measurement runs in a process of its own. The copy reads the checkpoint's bytes
and writes them with one fsync; the safe copy also does what conversion does for the folder: it
writes beside the goal, renames, and syncs the folder. Memory is the peak above the same process
after imports. "convert" is what `efn-compose convert FILE -o OUT.h5` does; "in memory" is
`convert(FILE).donor.save(OUT)`, which holds the network as arrays between the two. "HDF5 alone" has
the library create the file's groups, datasets and lists of names, without one value.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "experiments" / "results" / "conversion_speed.md"
REPEATS = 5
KINDS = ("copy", "safe copy", "convert", "memory", "HDF5")

#: Child: import, note the memory, work, say seconds and the peak above the imports.
CHILD = """
import json, os, resource, sys, time
import numpy as np, h5py, h5py.h5s
from converters import convert
from converters.reading.matching import match_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from converters.registry import CONVERTERS
from efn_compose.arch import arch_spec, inventory
from efn_compose.store.atomic import atomic_path
from efn_compose.store.weights.hdf5_skeleton import Slot, lay_out
list(CONVERTERS.values())
import efn_compose.checkpoints.containers.torch.torch_zip, efn_compose.checkpoints.containers.safetensors
import efn_compose.checkpoints.containers.torch.torch_legacy, efn_compose.donors
kind, source, arch, out, variant = sys.argv[1:6]
slots = [Slot(t.layer, t.role, t.shape, "float32") for t in inventory(arch_spec(variant), 1000)]
roles = {}
for slot in slots:
    roles.setdefault(slot.group, []).append(slot.name)
names = {layer: ("weight_names", listed) for layer, listed in roles.items()}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, start, cpu = peak(), time.perf_counter(), time.process_time()
if kind == "copy":
    with open(source, "rb") as file:
        data = file.read()
    with open(out, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
elif kind == "safe copy":
    with open(source, "rb") as file:
        data = file.read()
    with atomic_path(out, len(data)) as path:
        path.write_bytes(data)
elif kind == "HDF5":
    lay_out(out, slots, names)
elif kind == "convert":
    match_checkpoint(source, Request(arch=arch or None)).write(out)
else:
    convert(source, arch=arch or None).donor.save(out)
seconds = time.perf_counter() - start
heavy = [name for name in ("tensorflow", "torch", "keras") if name in sys.modules]
cpu = time.process_time() - cpu
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak() - before, "heavy": heavy}))
"""

WRITER = """
import sys, torch
from converters.oracles.torch_models import Wanted, timm_network
from lab.random_checkpoints import write_checkpoint
from efn_compose.arch import arch_spec
name, variant, path, legacy = sys.argv[1:5]
torch.manual_seed(0)
model = timm_network(Wanted(arch_spec(variant), name, classes=1000))
write_checkpoint(model, path, legacy=legacy == "legacy")
"""

CASES = (
    ("tf_efficientnet_b0", "b0", "model.pth", "zip"),
    ("tf_efficientnet_b0", "b0", "model.pth", "legacy"),
    ("tf_efficientnet_b0", "b0", "model.safetensors", "zip"),
    ("tf_efficientnet_b4", "b4", "model.pth", "zip"),
    ("tf_efficientnet_b7", "b7", "model.pth", "zip"),
    ("tf_efficientnet_b7", "b7", "model.safetensors", "zip"),
)


def child(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def measure(source: Path, arch: str, out: Path, variant: str) -> dict[str, dict]:
    """Return the shortest time and the largest peak of each kind, by turns."""
    runs: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for _ in range(REPEATS):
        for kind, done in runs.items():
            out.unlink(missing_ok=True)
            os.sync()
            done.append(json.loads(child(CHILD, kind, str(source), arch, str(out), variant)))
    return {
        kind: {
            "seconds": min(run["seconds"] for run in done),
            "cpu": min(run["cpu"] for run in done),
            "peak": max(run["peak"] for run in done),
            "heavy": done[0]["heavy"],
        }
        for kind, done in runs.items()
    }


def largest_tensor(path: Path) -> int:
    from efn_compose.checkpoints.containers.containers import read_checkpoint
    from efn_compose.checkpoints.containers.values import numpy_dtype

    sizes = []
    for tensor in read_checkpoint(path).tensors.values():
        count = 1
        for length in tensor.shape:
            count *= length
        sizes.append(count * numpy_dtype(tensor.dtype).itemsize)
    return max(sizes)


def main() -> int:
    """Measure, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    parser.add_argument("--checkpoints", type=Path, help="folder that keeps them for another time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.checkpoints or Path(scratch)
        sources = []
        for name, variant, file, kind in CASES:
            sources.append(folder / f"{variant}_{kind}_{file}")
            if not sources[-1].exists():
                folder.mkdir(parents=True, exist_ok=True)
                child(WRITER, name, variant, str(sources[-1]), kind)
        rows, met, load = [], {"time": [], "memory": [], "in memory": []}, os.getloadavg()[0]
        for (name, variant, _, kind), source in zip(CASES, sources, strict=True):
            done = measure(source, f"{name}.aa_in1k", Path(scratch) / "out.h5", variant)
            size, largest = source.stat().st_size, largest_tensor(source)
            plain, safe, conversion, memory, hdf5 = (done[kind] for kind in KINDS)
            ratio, safe_ratio, memory_ratio = (
                conversion["seconds"] / plain["seconds"],
                conversion["seconds"] / safe["seconds"],
                memory["seconds"] / plain["seconds"],
            )
            bounds = [run["peak"] / (size + largest) for run in (conversion, memory)]
            container = f"{source.suffix[1:]}{' (legacy)' if kind == 'legacy' else ''}"
            cells = (
                f"{variant} {container}",
                f"{size / 1e6:.0f} MB",
                f"{1e3 * plain['seconds']:.0f} ms",
                f"{1e3 * safe['seconds']:.0f} ms",
                f"{1e3 * conversion['seconds']:.0f} ms",
                f"{ratio:.2f}",
                f"{safe_ratio:.2f}",
                f"{1e3 * hdf5['seconds']:.0f} ms",
                f"{conversion['peak'] / 1e6:.0f} MB",
                f"{bounds[0]:.2f}",
                f"{memory_ratio:.2f}",
                f"{bounds[1]:.2f}",
                ", ".join(conversion["heavy"]) or "none",
            )
            rows.append(f"| {' | '.join(cells)} |")
            met["time"].append(ratio <= 2)
            met["memory"].append(bounds[0] <= 1)
            met["in memory"].append(bounds[1] <= 1)
            print(rows[-1], file=sys.stderr)
    verdicts = {
        goal: f"met by {sum(cases)} of {len(cases)} checkpoints" for goal, cases in met.items()
    }
    text = [
        "# Speed and memory of conversion",
        "",
        f"Made by `python experiments/conversion_speed.py`; the shortest of {REPEATS} runs, each in its",
        "own process, by turns, imports not counted. The copy reads the checkpoint's bytes and writes them",
        "with one fsync. Conversion also hashes the source, checks every value and checksum, and makes the",
        "new name safe as well (fsync of the file, rename, fsync of the folder); the safe copy does the",
        'same, so it is the like-for-like one. "HDF5 alone" is the library creating the file\'s groups,',
        "datasets and lists of names, without one value. Peak memory is counted above the imports; the",
        "bound is checkpoint plus largest tensor.",
        "",
        "| checkpoint | size | copy | safe copy | convert | ratio to copy (goal 2) | ratio to safe copy | "
        "HDF5 alone | peak | peak / bound (goal 1) | in memory: ratio to copy | "
        "in memory: peak / bound | TensorFlow, torch, Keras imported |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Time, against the plain copy: {verdicts['time']}. Memory: {verdicts['memory']}, in memory",
        f'{verdicts["in memory"]}. "Convert" is what `efn-compose convert FILE -o OUT.h5` does, a tensor',
        'at a time; "in memory" is `convert(FILE).donor.save(OUT)`, which holds the whole network between',
        "the two.",
        f"Load of the machine's {os.cpu_count()} cores before measuring: {load:.1f}.",
        "",
    ]
    options.output.write_text("\n".join(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
