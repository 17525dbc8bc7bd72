"""Images that do not fit into every worker: fill, second start, throughput and memory, measured.

Purpose: 60,000 images of 256 px (11.8 GB decoded), crops of scikit-image's photographs, searched by two
         workers. What the cache costs is measured beside its alternative in the same minutes:
         the fill beside TensorFlow's decoder with the same resize, training from the cache beside
         training from memory.
Command: python experiments/streaming.py --folder /tmp/streaming
         A part that is done is not done again, and a search goes on where it was; --parts names some
         of them. FOLDER/report.md has the table.
Time:    about 20 minutes on two free cores (the searches with --parts images small_search search
         alone: 12); 16 GB of disk.
Result:  experiments/results/streaming.md
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from streaming_report import report

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.data import load_table
from efn_compose.data.cache.images import cached_images
from efn_compose.data.decoding.decode import resize_image
from efn_compose.donors import Donor
from efn_compose.nesting.fills import fresh_values
from efn_compose.store.environment import usable_cores

SIZE, NETWORK, BATCH = 256, "lite-w0.25-d0.3", 32
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry", "retina")
#: Images of the fill beside TensorFlow, larger than what becomes of them; its repeats.
FILLED, FILL_SIZE, FILL_REPEATS = 3000, 160, 7
#: Images of the training from memory and from the cache, and how often each is timed.
TRAINED, TRAIN_REPEATS = 1500, 5
EVALUATIONS, WORKERS = 20, 2
#: Rows of the large table; a file system gives an image so many names.
ROWS, LINKS = 2_000_000, 20_000


def make_images(folder: Path, count: int) -> dict[str, Any]:
    """Write crops of photographs, one folder per photograph."""
    from skimage import data

    def write(path: Path, photo: np.ndarray, side: int, top: int, left: int) -> None:
        if not path.exists():
            crop = Image.fromarray(photo[top : top + side, left : left + side])
            crop.resize((SIZE, SIZE)).save(path.with_suffix(".part"), "JPEG", quality=90)
            path.with_suffix(".part").rename(path)

    with ThreadPoolExecutor(usable_cores()) as pool:
        for label, name in enumerate(PHOTOS):
            photo = np.ascontiguousarray(getattr(data, name)()[..., :3])
            place, rng = folder / "photos" / name, np.random.default_rng(label)
            place.mkdir(parents=True, exist_ok=True)
            for number in range(label, count, len(PHOTOS)):
                side = int(rng.integers(160, min(photo.shape[:2])))
                top, left = (int(rng.integers(0, length - side)) for length in photo.shape[:2])
                pool.submit(write, place / f"{number:06}.jpg", photo, side, top, left)
    sizes = [file.stat().st_size for file in (folder / "photos").rglob("*.jpg")]
    if len(sizes) != count:
        raise SystemExit(f"{len(sizes)} of {count} images were written.")
    return {"images": count, "encoded_bytes": sum(sizes), "decoded_bytes": count * SIZE * SIZE * 3}


def measure_fill(folder: Path) -> dict[str, Any]:
    """Time the fill of an empty cache, and TensorFlow's decoder with the same resize, in turn."""
    import tensorflow as tf

    table = load_table(f"folder:{folder / 'photos'}")
    numbers = np.linspace(0, len(table) - 1, FILLED).astype(int)
    paths = [str(table.images.paths[number]) for number in numbers]  # type: ignore[attr-defined]

    def plain(start: int) -> None:
        for path in paths[start : start + 16]:
            pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3).numpy()
            resize_image(pixels, FILL_SIZE)

    def decode() -> None:
        # In groups, as we do: one call per image would cost both a sixth.
        with ThreadPoolExecutor(usable_cores()) as pool:
            list(pool.map(plain, range(0, len(paths), 16)))

    empty = [folder / "fill" / str(number) for number in range(FILL_REPEATS)]
    waiting = iter(empty)

    def fill() -> None:
        cached_images(table.images, numbers, FILL_SIZE, folder=next(waiting))

    shutil.rmtree(folder / "fill", ignore_errors=True)
    (folder / "fill").mkdir()
    decode()  # reads every file once, so that the disk serves both alike
    seconds = in_turn({"plain": decode, "fill": fill}, FILL_REPEATS)
    shutil.rmtree(folder / "fill")
    rates = {name: [FILLED / s for s in values] for name, values in seconds.items()}
    return {"images_per_second": rates, "ratio": paired_ratio(rates["fill"], rates["plain"])}


#: The second start, in a process of its own: seconds after its imports.
_START = """
import sys, time
import tensorflow as tf
from efn_compose.data import DataOptions, load_data
from efn_compose.data.holding import Holding
from efn_compose.train.resident.feed import Feed
import numpy as np
began = time.perf_counter()
data = load_data(DataOptions(sys.argv[1], size=int(sys.argv[2])), 1, holding=Holding("cache"))
loaded = time.perf_counter() - began
data.fingerprint
known = time.perf_counter() - began
order = np.random.default_rng(1).permutation(len(data.train_labels))[:3200].reshape(-1, 32)
next(Feed(data.train_images).chunks(order.astype(np.int32)))
print(loaded, known, time.perf_counter() - began)
"""


def measure_starts(folder: Path) -> dict[str, Any]:
    """Time the first start, which fills the cache, and three more."""
    words = (f"folder:{folder / 'photos'}", str(SIZE))
    starts = []
    for _ in range(4):
        said = subprocess.run(
            [sys.executable, "-c", _START, *words], capture_output=True, text=True, check=True
        ).stdout
        starts.append([float(word) for word in said.split()])
    return {"load_fingerprint_batch_seconds": starts}


def measure_throughput(folder: Path) -> dict[str, Any]:
    """Time training epochs from memory and from the cache, in turn, by one traced network."""
    import tensorflow as tf

    from efn_compose.train.resident.feed import Feed
    from efn_compose.train.resident.resident import ResidentModel, TrainSettings

    table = load_table(f"folder:{folder / 'photos'}")
    numbers = np.linspace(0, len(table) - 1, TRAINED).astype(int)
    cached = cached_images(table.images, numbers, SIZE, folder=folder / "subset")
    held = Feed(tf.constant(cached[:]))
    donor = make_donor(1)
    model = ResidentModel(
        donor.spec, donor.conventions, len(PHOTOS), TrainSettings(batch_size=BATCH), SIZE
    )
    labels, losses = tf.constant(table.labels[numbers]), {}

    def epoch(name: str, feed: Feed) -> Callable[[], None]:
        def run() -> None:
            model.load(donor.tensors, seed=1)
            losses[name] = model.train(feed, labels, model.epoch_order(TRAINED, seed=1))

        return run

    ways = {"memory": epoch("memory", held), "cache": epoch("cache", Feed(cached))}
    ways["memory"]()  # traces
    seconds = in_turn(ways, TRAIN_REPEATS)
    rates = {name: [TRAINED / s for s in values] for name, values in seconds.items()}
    return {
        "images_per_second": rates,
        "ratio": paired_ratio(rates["cache"], rates["memory"]),
        "equal_losses": losses["memory"] == losses["cache"],
    }


def measure_search(folder: Path, name: str, settings: dict[str, object]) -> dict[str, Any]:
    """Run a search of some evaluations and watch the memory of its processes."""
    for number in (1, 2):
        make_donor(number).save(folder / f"donor{number}.h5")
    fixed: dict[str, object] = {
        "run.path": folder / name, "data.source": f"folder:{folder / 'photos'}", "data.size": SIZE,
        "donors.siblings": 0, "donors.align": "never", "donors.absorb": "never",
        "search.kind": "steady", "steady.population": 6, "finals.finalists": 1,
        "finals.final_seeds": 2, "finals.noise_repeats": 2, "budget.evaluations": EVALUATIONS,
        "executor.workers": WORKERS, "fitness.batch_size": BATCH, "executor.images": "cache",
    }  # fmt: skip
    words = [f"{key}={value}" for key, value in (fixed | settings).items()]
    donors = [str(folder / f"donor{number}.h5") for number in (1, 2)]
    command = [sys.executable, "-m", "efn_compose", "evolve", "--quiet", "--donors", *donors]
    # What an attempt that was killed has seen stays.
    kept = folder / f"{name}_so_far.json"
    before = json.loads(kept.read_text()) if kept.exists() else {"seconds": 0.0, "peaks": {}}
    if (folder / name / "config.toml").exists():
        command.append("--resume")
    else:
        shutil.rmtree(folder / name, ignore_errors=True)
    began = time.perf_counter()
    running = subprocess.Popen([*command, "--set", *words])

    def keep(peaks: dict[str, float]) -> None:
        seconds = before["seconds"] + time.perf_counter() - began
        kept.write_text(json.dumps({"seconds": seconds, "peaks": peaks}))

    peaks = watch_memory(running, before["peaks"], keep)
    if running.returncode:
        raise SystemExit(f"{name}: the search ended with {running.returncode}")
    lines = (folder / name / "evaluations.jsonl").read_text().splitlines()
    return {
        "evaluations": len(lines), "seconds": json.loads(kept.read_text())["seconds"],
        "peak_bytes": peaks,
        "verdict": json.loads((folder / name / "result.json").read_text())["verdict"],
    }  # fmt: skip


def watch_memory(
    running: "subprocess.Popen[bytes]",
    before: dict[str, float],
    keep: Callable[[dict[str, float]], None],
) -> dict[str, float]:
    """Return the peak resident memory of driver, workers and all processes together, until the end.

    Args:
        running: The driver.
        before: Peaks of an earlier attempt.
        keep: Told the peaks so far, again and again.
    """
    import psutil

    peaks = dict(before)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            found: dict[str, float] = {"all": 0.0}
            try:
                parent = psutil.Process(running.pid)
                for process in [parent, *parent.children(recursive=True)]:
                    words = " ".join(process.cmdline())
                    # Proportional: what processes share is counted once among them.
                    memory = process.memory_full_info()
                    found["all"] += memory.pss
                    if process is parent:
                        found["driver"] = memory.rss
                    elif "WorkerProcess" in words:
                        found[f"worker {process.pid}"] = memory.rss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            for key, value in found.items():
                peaks[key] = max(peaks.get(key, 0.0), value)
            keep(peaks)

    watcher = threading.Thread(target=look)
    watcher.start()
    running.wait()
    ended.set()
    watcher.join()
    return peaks


#: Reads a table in a process of its own: images, classes, patients, seconds, bytes at the peak.
_TABLE = """
import sys, time
from efn_compose.data import load_table
began = time.perf_counter()
table = load_table(sys.argv[1])
# Not ru_maxrss, which begins with the memory of the process that started this one.
peak = next(1024 * int(s.split()[1]) for s in open("/proc/self/status") if s.startswith("VmHWM"))
print(len(table), len(table.class_names), len(table.group_names), time.perf_counter() - began, peak)
"""


def measure_table(folder: Path) -> dict[str, Any]:
    """Read a table of millions of rows, each with a file of its own (links to a few images)."""
    place = folder / "table"
    (place / "images").mkdir(parents=True, exist_ok=True)
    with (place / "rows.csv").open("w") as rows:
        rows.write("image,label,patient\n")
        for number in range(ROWS):
            part = place / "images" / f"{number // LINKS:03}"
            if number % LINKS == 0:
                part.mkdir(exist_ok=True)
                Image.new("RGB", (8, 8)).save(part / "0.png")
            elif not (part / f"{number}.png").exists():
                os.link(part / "0.png", part / f"{number}.png")
            name = f"{part.name}/{number if number % LINKS else 0}.png"
            rows.write(f"images/{name},{number % 9},p{number // 7}\n")
    command = [sys.executable, "-c", _TABLE, f"csv:{place / 'rows.csv'}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    shutil.rmtree(place)
    names = ("images", "classes", "patients", "seconds", "peak_bytes")
    return dict(zip(names, map(float, said), strict=True))


def make_donor(seed: int) -> Donor:
    """Return a small network of random weights."""
    spec = arch_spec(NETWORK)
    fresh = {tensor.name: fresh_values(tensor, "he", seed) for tensor in inventory(spec)}
    return Donor(f"random{seed}", spec, default_conventions(spec), fresh)


def in_turn(ways: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each way, taken in turn so that other load meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def paired_ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of neighbours in time."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Measure what is not yet measured, and print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/streaming"))
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--parts", nargs="*", default=[])
    args = parser.parse_args()
    folder = args.folder
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["EFN_COMPOSE_CACHE"] = str(folder / "cache")
    # All images are in the search; an evaluation trains on about 600 of them, in 19 updates.
    deciding, testing = max(64, args.images // 40), max(64, args.images // 120)
    training = args.images - deciding - testing
    large = {
        "fitness.epochs": min(1.0, 600 / training), "data.train_images": training,
        "data.validation_images": deciding, "data.test_images": testing,
    }  # fmt: skip
    small = {
        "data.train_images": 320, "data.validation_images": 64, "data.test_images": 64,
    }  # fmt: skip
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "images": lambda: make_images(folder, args.images),
        "fill": lambda: measure_fill(folder),
        "throughput": lambda: measure_throughput(folder),
        "starts": lambda: measure_starts(folder),
        "small_search": lambda: measure_search(folder, "small", small),
        "search": lambda: measure_search(folder, "large", large),
        "table": lambda: measure_table(folder),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, measure in parts.items():
        path = folder / f"{name}.json"
        if not path.exists() and (not args.parts or name in args.parts):
            path.write_text(json.dumps(measure()))
        if path.exists():
            found[name] = json.loads(path.read_text())
            (folder / "report.md").write_text(report(found))
            print(name, path.read_text(), flush=True)
    print(report(found))


if __name__ == "__main__":
    main()
