"""How long a conversion takes and how much memory, against reading and writing the same bytes.

Command:   python experiments/conversion_speed.py
Needs:     pip install -e .[parity] (torch writes the checkpoint; the conversion never imports it)
Expected:  under three minutes; writes experiments/results/conversion_speed.md
Result:    at most twice the time of the copy, peak memory at most checkpoint plus largest tensor

Every measurement runs in a process of its own. The copy reads the checkpoint's bytes
and writes them with one fsync; memory is the peak above the same process after imports.
"convert" is what `efn-compose convert FILE -o OUT.h5` does; "in memory" is
`convert(FILE).donor.save(OUT)`, which holds the network as arrays between the two.
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

#: Child: import, note the memory, work, say seconds and the peak above the imports.
CHILD = """
import json, os, resource, sys, time
import numpy as np, h5py, h5py.h5s
from converters import convert
from converters.matching import match_checkpoint
from converters.registry import CONVERTERS
from efn_compose.arch import inventory
list(CONVERTERS.values())
import efn_compose.checkpoints.torch_zip, efn_compose.checkpoints.safetensors
import efn_compose.checkpoints.torch_legacy, efn_compose.donors
kind, source, arch, out = sys.argv[1:5]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, start, cpu = peak(), time.perf_counter(), time.process_time()
if kind == "copy":
    with open(source, "rb") as file:
        data = file.read()
    with open(out, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
elif kind == "convert":
    match_checkpoint(source, arch=arch or None).write(out)
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
from converters.oracles.random_checkpoints import write_checkpoint
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


def measure(source: Path, arch: str, out: Path) -> tuple[dict, dict, dict]:
    """Return the shortest time and the largest peak of each kind, by turns."""
    runs: dict[str, list[dict]] = {"copy": [], "convert": [], "memory": []}
    for _ in range(REPEATS):
        for kind, done in runs.items():
            out.unlink(missing_ok=True)
            os.sync()
            done.append(json.loads(child(CHILD, kind, str(source), arch, str(out))))
    return tuple(
        {
            "seconds": min(run["seconds"] for run in done),
            "cpu": min(run["cpu"] for run in done),
            "peak": max(run["peak"] for run in done),
            "heavy": done[0]["heavy"],
        }
        for done in runs.values()
    )


def largest_tensor(path: Path) -> int:
    from efn_compose.checkpoints.containers import read_checkpoint
    from efn_compose.checkpoints.values import numpy_dtype

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
    options = parser.parse_args()
    rows, met = [], [True, True]
    for name, variant, file, kind in CASES:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder) / file, Path(folder) / "out.h5"
            child(WRITER, name, variant, str(source), kind)
            copy, conversion, memory = measure(source, f"{name}.aa_in1k", out)
            size, largest = source.stat().st_size, largest_tensor(source)
            ratios = [run["seconds"] / copy["seconds"] for run in (conversion, memory)]
            bounds = [run["peak"] / (size + largest) for run in (conversion, memory)]
            container = f"{source.suffix[1:]}{' (legacy)' if kind == 'legacy' else ''}"
            rows.append(
                f"| {variant} {container} | {size / 1e6:.0f} MB | {copy['seconds']:.3f} s | "
                f"{conversion['seconds']:.3f} s | {ratios[0]:.2f} | {conversion['cpu']:.3f} s | "
                f"{conversion['peak'] / 1e6:.0f} MB | {bounds[0]:.2f} | {ratios[1]:.2f} | "
                f"{bounds[1]:.2f} | {', '.join(conversion['heavy']) or 'none'} |"
            )
            met[0] &= ratios[0] <= 2
            met[1] &= bounds[0] <= 1
            print(rows[-1], file=sys.stderr)
    verdicts = ["met" if is_met else "NOT met" for is_met in met]
    text = [
        "# Speed and memory of conversion",
        "",
        f"Made by `python experiments/conversion_speed.py`; the shortest of {REPEATS} runs, each in its own",
        "process, by turns, imports not counted. The copy reads the checkpoint's bytes and writes them with",
        "one fsync. Conversion also hashes the source, checks every value, writes a weight file and syncs its",
        "folder. Peak memory is counted above the imports; the bound is checkpoint plus largest tensor.",
        "",
        "| checkpoint | size | copy | convert | ratio (goal 2) | of it CPU | peak | "
        "peak / bound (goal 1) | in memory: ratio | in memory: peak / bound | "
        "TensorFlow, torch, Keras imported |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f'The goal for time is {verdicts[0]}, the one for memory {verdicts[1]}. "Convert" is what',
        '`efn-compose convert FILE -o OUT.h5` does, a tensor at a time; "in memory" is',
        "`convert(FILE).donor.save(OUT)`, which holds the whole network between the two.",
        f"Load of the machine's {os.cpu_count()} cores while measuring: {os.getloadavg()[0]:.1f}.",
        "",
    ]
    options.output.write_text("\n".join(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
