"""Nest a B0 into L3 (1.5 billion parameters): memory, time, and the file read back.

Command:  python experiments/nest_l3.py [--donor b0.h5] [--folder DIR] [--repeats 3]
Needs:    6.1 GB of disk in DIR, half a gigabyte of memory.
Time:     about two minutes on one core and a disk of 0.5 GB/s.
Result:   experiments/results/nest_l3.md

Without --donor a B0 of random weights stands for the magic weights; time and
memory do not depend on the values. Each repeat writes as many zero bytes as the
L3 file holds, syncs them, and then nests, in a process of its own.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from efn_compose.arch import arch_spec, default_conventions, parameter_count
from efn_compose.nesting import nest_to_file, verify_nesting
from efn_compose.nesting.fills import fresh_values
from efn_compose.nesting.plan import match_repeats
from efn_compose.nesting.running.verify import random_pixels
from efn_compose.store import WeightFile, WeightHeader, write_weights

CLASSES = 1000
BLOCK = 64 << 20


def write_random_b0(path: Path) -> None:
    """Write a B0 with He kernels and identity BatchNorm calibrated on random images."""
    from efn_compose.donors import Donor
    from efn_compose.nesting.running.forward import NumpyNetwork, batch_statistics
    from efn_compose.nesting.running.weight_source import WeightSource

    spec = arch_spec("b0")
    header = WeightHeader(spec, default_conventions(spec), CLASSES)
    tensors = {tensor.name: fresh_values(tensor, "he", 1) for tensor in header.tensors}
    donor = Donor("b0", spec, header.conventions, tensors)

    def calibrate(layer, x, mean, variance):
        mean, variance = batch_statistics(layer, x, mean, variance)
        tensors[f"{layer}/moving_mean"] = mean.astype(np.float32)
        tensors[f"{layer}/moving_variance"] = variance.astype(np.float32)
        return mean, variance

    inputs = donor.preprocess(random_pixels(16, 64))
    NumpyNetwork(WeightSource.of(donor), "float32", statistics=calibrate).run(inputs)
    write_weights(path, header, tensors)


def write_zeros(path: Path, count: int) -> float:
    """Write and sync zero bytes; return the seconds."""
    block = bytes(BLOCK)
    started = time.perf_counter()
    with path.open("wb") as file:
        for start in range(0, count, BLOCK):
            file.write(block[: min(BLOCK, count - start)])
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    path.unlink()
    return seconds


def nest_alone(donor: Path, out: Path) -> dict[str, float]:
    """Nest in a fresh process; return its seconds, processor seconds and peak memory."""
    command = [sys.executable, __file__, "--child", str(donor), str(out)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def child(donor: str, out: str) -> None:
    """Nest and print what it cost."""
    started = time.perf_counter()
    nest_to_file(donor, "l3", out)
    unit = 1 if sys.platform == "darwin" else 1024
    cost = {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }
    sys.stdout.write(json.dumps(cost))


def read_back(donor: Path, out: Path) -> dict[str, int]:
    """Compare the file with the donor, tensor by tensor, without the code that wrote it.

    Channels lead, so the donor's tensor is the leading corner. What reads new
    channels into old ones must be zero, and so must what extra repeats add.
    """
    counts = {"tensors": 0, "parameters": 0, "donor_tensors": 0, "extra_repeats": 0}
    with WeightFile(donor) as small, WeightFile(out) as large:
        blocks, _ = match_repeats(small.header.spec, large.header.spec, "end")
        counts["extra_repeats"] = sum(source is None for source in blocks.values())
        names = {tensor.name for tensor in small.header.tensors}
        for tensor in large.header.tensors:
            values = large.read(tensor.name)
            counts["tensors"] += 1
            counts["parameters"] += values.size if tensor.is_trainable else 0
            block = "_".join(tensor.layer.split("_")[:2])
            if blocks.get(block, block) is None:
                if tensor.name.endswith(("project_bn/gamma", "project_bn/beta")):
                    stage = block.split("_")[0]
                    width = small.read(f"{stage}_block1_project_bn/gamma").size
                    _demand(not values[:width].any(), tensor.name)
                continue
            _demand(tensor.name in names, tensor.name)
            own = small.read(tensor.name)
            corner = tuple(slice(length) for length in own.shape)
            _demand(np.array_equal(values[corner], own), tensor.name)
            if any(axis.use == "in" for axis in tensor.axes):
                new_inputs = values[..., own.shape[-2] :, : own.shape[-1]]
                _demand(not new_inputs.any(), tensor.name)
            counts["donor_tensors"] += 1
        _demand(counts["donor_tensors"] == len(names), "every tensor of the donor")
    _demand(counts["parameters"] == parameter_count(arch_spec("l3"), CLASSES), "parameter count")
    return counts


def _demand(is_right: bool, where: str) -> None:
    if not is_right:
        raise SystemExit(f"{where}: not what nesting should have written")


def main() -> None:
    """Measure and print a report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--donor", type=Path, help="weight file of a B0; default random weights")
    parser.add_argument("--folder", type=Path, help="where to write; default a temporary folder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        donor, out = options.donor or Path(folder) / "b0.h5", Path(folder) / "l3.h5"
        if options.donor is None:
            write_random_b0(donor)
        rows = []
        for repeat in range(options.repeats):
            out.unlink(missing_ok=True)
            size = _header().byte_count
            zeros = write_zeros(Path(folder) / "zeros", size)
            cost = nest_alone(donor, out)
            rows.append({"zeros": zeros, **cost, "ratio": cost["seconds"] / zeros})
            sys.stderr.write(f"repeat {repeat + 1}: {json.dumps(rows[-1])}\n")
        _print(rows, out.stat().st_size, read_back(donor, out), donor, out)


def _header() -> WeightHeader:
    spec = arch_spec("l3")
    return WeightHeader(spec, default_conventions(spec), CLASSES)


def _print(
    rows: list[dict[str, float]], size: int, counts: dict[str, int], donor: Path, out: Path
) -> None:
    lines = [
        "| repeat | zero bytes, s | nesting, s | of it processor, s | ratio | peak memory, MB |"
    ]
    lines.append("|---" * 6 + "|")
    for number, row in enumerate(rows, start=1):
        lines.append(
            f"| {number} | {row['zeros']:.1f} | {row['seconds']:.1f} | "
            f"{row['processor_seconds']:.1f} | {row['ratio']:.2f} | {row['peak_bytes'] / 1e6:.0f} |"
        )
    ratio = statistics.median(row["ratio"] for row in rows)
    lines += [
        "",
        f"Median ratio {ratio:.2f}; file of {size:,} bytes; read back: {counts['tensors']:,} tensors, "
        f"{counts['parameters']:,} trainable parameters, all {counts['donor_tensors']} tensors of the "
        f"donor in place, {counts['extra_repeats']} extra repeats add nothing to its channels.",
    ]
    with WeightFile(donor) as small, WeightFile(out) as large:
        for is_training in (False, True):
            check = verify_nesting(
                large, [small], images=random_pixels(4, 32), is_training=is_training
            )
            lines.append(f"Both networks in float64, {check.describe()}.")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
