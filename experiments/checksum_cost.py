"""What checksums cost: B7 loaded from a file with them, and from the same file without.

Command:   python experiments/checksum_cost.py
Needs:     600 MB of disk for a minute
Expected:  half a minute; writes experiments/results/checksum_cost.md
Result:    at most 1.1 times as long

Random weights with a classifier of 1,000. Both files are read in turn from the page cache, so that
nothing but the work of the processor is measured.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "checksum_cost.md"
TURNS = 15
GATE = 1.1


def write(path: Path) -> None:
    """Write B7 with random weights."""
    from efn_compose.arch import arch_spec, default_conventions, inventory
    from efn_compose.donors import Donor

    rng, spec = np.random.default_rng(0), arch_spec("b7")
    tensors = {
        tensor.name: np.abs(rng.standard_normal(tensor.shape, np.float32))
        for tensor in inventory(spec, 1000)
    }
    Donor("b7", spec, default_conventions(spec), tensors).save(path)


def seconds(path: Path) -> tuple[float, float]:
    """Return the time of one loading: of the processor, and by the clock."""
    from efn_compose.donors import load_donor

    processor, clock = time.process_time(), time.perf_counter()
    load_donor(path)
    return time.process_time() - processor, time.perf_counter() - clock


def main() -> int:
    """Measure in turn, write the page; return 0 if checksums cost no more than they may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        checked, bare = Path(folder) / "checked.h5", Path(folder) / "bare.h5"
        write(checked)
        bare.write_bytes(checked.read_bytes())
        with h5py.File(bare, "r+") as file:
            del file.attrs["efn_compose_crc32"]
        size = checked.stat().st_size / 1e6
        times = {path: [seconds(path)] for path in (checked, bare)}
        for _ in range(TURNS):
            for path, found in times.items():
                found.append(seconds(path))
    rows, ratios = [], []
    for kind, name in enumerate(("time of the processor", "time by the clock")):
        with_them, without = (
            statistics.median(found[kind] for found in times[path][1:]) for path in (checked, bare)
        )
        ratios.append(with_them / without)
        rows.append(f"| {name} | {with_them:.3f} s | {without:.3f} s | {ratios[-1]:.2f} |")
    ratio = ratios[0]
    text = [
        "# What checksums cost",
        "",
        f"Made by `python experiments/checksum_cost.py`: B7, {size:.0f} MB, loaded {TURNS} times in turn",
        "from a file with a CRC-32 of each tensor and from the same file without; medians of one run. By",
        "the clock it depends on what else the machine does.",
        "",
        "| | with checksums | without | ratio |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    options.output.write_text("\n".join(text), encoding="utf-8")
    print(f"written: {options.output} (ratio {ratio:.2f})", file=sys.stderr)
    return 0 if ratio <= GATE else 1


if __name__ == "__main__":
    sys.exit(main())
