"""Training steps of the whole machine: ours against PyTorch, torch.compile and Keras' fit.

Purpose: images per second of a training step, B0 and B3 at 128 and 224 px, batch 32, both cores; and
         where our step spends its time.
Command: python experiments/step_speed.py
         Each cell is a process of its own (two for two workers) and a line of the journal; a cell that
         is there is not measured again. --only b0, --sizes 128, --ways NAME… choose cells; --report
         prints the tables of the journal; --activations times swish alone.
Time:    a cell takes half a minute to four minutes, most of it compiling; all of one round about 40
         minutes on two free cores. --rounds 2 takes everything twice, in turn.
Result:  experiments/results/step_speed.md
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

JOURNAL = Path(__file__).parent / "results" / "step_speed.jsonl"
NETWORKS, SIZES, BATCH, CLASSES = ("b0", "b3"), (128, 224), 32, 10
#: Steps before the clock runs, and while it does.
WARM_UP, STEPS = 2, 5
#: Steps that are profiled, and operations that the report names.
PROFILED, NAMED = 2, 8
#: By name: processes, threads of each.
WAYS = {
    "search: 2 workers of 1 thread": (2, 1),
    "training: 1 process of 2 threads": (1, 2),
    "PyTorch: 1 process of 2 threads": (1, 2),
    "PyTorch: 2 processes of 1 thread": (2, 1),
    "torch.compile: 1 process of 2 threads": (1, 2),
    "Keras fit: 1 process of 2 threads": (1, 2),
    "Keras fit, XLA: 1 process of 2 threads": (1, 2),
    "search, XLA: 2 workers of 1 thread": (2, 1),
    "profile": (1, 1),
}
#: What a run measures unless ways are named.
DEFAULT = [way for way in WAYS if "XLA" not in way]


def search_step(network: str, size: int, *, compiled: bool = False) -> Callable[[int], None]:
    """Return what makes so many steps as a search's worker makes them."""
    import numpy as np
    import tensorflow as tf

    from efn_compose.arch import arch_spec, default_conventions
    from efn_compose.train.engine.placement import Placement
    from efn_compose.train.resident.resident import ResidentModel, TrainSettings

    spec, settings = arch_spec(network), TrainSettings(batch_size=BATCH)
    conventions, placement = default_conventions(spec), Placement(compiled=compiled)
    model = ResidentModel(spec, conventions, CLASSES, settings, size, placement)
    pixels, labels = (tf.constant(values) for values in make_images(size))
    order = np.arange(BATCH, dtype=np.int32)[None]
    model.load(model.tensors(), seed=1)

    def run(steps: int) -> None:
        # Compiled steps are traced for a number of steps.
        for _ in range(steps):
            model.train(pixels, labels, order)

    return run


def training_step(network: str, size: int) -> Callable[[int], None]:
    """Return what makes so many updates as `efn-compose train` makes them, its inputs included."""
    import numpy as np

    from efn_compose.arch import arch_spec, default_conventions, inventory
    from efn_compose.donors import Donor
    from efn_compose.nesting.fills import fresh_values
    from efn_compose.train.augment import AugmentOptions
    from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions
    from efn_compose.train.recipe.ahead import made_ahead
    from efn_compose.train.recipe.inputs import Inputs

    spec = arch_spec(network)
    fresh = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(spec)}
    donor = Donor(network, spec, default_conventions(spec), fresh).without_head()
    images, labels = make_images(size)
    names = tuple(map(str, range(CLASSES)))
    data = TrainingData(names, images, labels, images[:0], labels[:0])
    objective = Classification(CLASSES, TrainOptions(batch_size=BATCH))
    trainer = Trainer(donor, objective)
    trainer.start(donor, 1, data, 100)
    inputs = Inputs(data, donor, objective, AugmentOptions(flip_x=0.0), 1)

    def run(steps: int) -> None:
        orders = [np.arange(BATCH)[None]] * steps
        for batches in made_ahead(inputs, orders, 0, 0, size):
            trainer.step.run(batches, 1e-3)

    return run


def torch_step(network: str, size: int, *, compiled: bool = False) -> Callable[[int], None]:
    """Return what makes so many steps of timm's network, channels last, with a fused Adam."""
    import torch
    from torch.nn.functional import cross_entropy

    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import timm

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    name = f"tf_efficientnet_{network}"
    model = timm.create_model(name, num_classes=CLASSES, drop_rate=0.2)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    images, targets = make_images(size)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(targets).long()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)

    def loss_of(pixels: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        scaled = ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        return cross_entropy(model(scaled), labels)

    compute = torch.compile(loss_of) if compiled else loss_of

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            compute(pixels, labels).backward()
            optimizer.step()

    return run


def keras_step(network: str, size: int, *, compiled: bool = False) -> Callable[[int], None]:
    """Return what makes so many steps of keras.applications' network with `fit`."""
    import keras

    kind = getattr(keras.applications, f"EfficientNet{network.upper()}")
    model = kind(weights=None, input_shape=(size, size, 3), classes=CLASSES)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=compiled)
    images, labels = make_images(size)

    def run(steps: int) -> None:
        for _ in range(steps):
            model.fit(images, labels, batch_size=BATCH, verbose=0)

    return run


def make_images(size: int):
    """Return one batch of random images and labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, size, size, 3), np.uint8)
    return images, rng.integers(0, CLASSES, BATCH).astype(np.int32)


def steps_of(way: str, network: str, size: int) -> Callable[[int], None]:
    """Return what makes steps in a way."""
    compiled = "XLA" in way or "compile" in way
    if way.startswith(("PyTorch", "torch")):
        return torch_step(network, size, compiled=compiled)
    if way.startswith("Keras"):
        return keras_step(network, size, compiled=compiled)
    if way.startswith("training"):
        return training_step(network, size)
    return search_step(network, size, compiled=compiled)


def be_process(way: str, network: str, size: int) -> None:
    """Be a process of a cell: get ready, wait for the word, make steps, say their seconds."""
    if way == "profile":
        print(json.dumps(profile(network, size)), flush=True)
        return
    run = steps_of(way, network, size)
    run(WARM_UP)
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        run(1)
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds), flush=True)


def profile(network: str, size: int) -> dict[str, float]:
    """Return the share of each kind of operation in the time of our step."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    run = search_step(network, size)
    run(WARM_UP)
    with tempfile.TemporaryDirectory() as folder:
        # Not our Python: its events are many and say nothing.
        options = tf.profiler.experimental.ProfilerOptions(2, python_tracer_level=0)
        tf.profiler.experimental.start(folder, options)
        run(PROFILED)
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    spent: dict[str, float] = defaultdict(float)
    for plane in space.planes:
        kinds = {number: one.name for number, one in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # Executed operations are called NAME:KIND, parts of the runtime CLASS::METHOD.
                name, _, kind = kinds[event.metadata_id].rpartition(":")
                if name and not name.endswith(":") and kind.isidentifier():
                    spent[kind] += event.duration_ps
    wrappers = ("StatefulPartitionedCall", "PartitionedCall", "While", "StatelessWhile")
    leaves = {kind: time for kind, time in spent.items() if kind not in wrappers}
    total = sum(leaves.values())
    return {
        kind: round(time / total, 4) for kind, time in sorted(leaves.items(), key=lambda x: -x[1])
    }


def time_activations() -> None:
    """Print the processor time of swish, forwards and backwards, Keras' and ours."""
    import tensorflow as tf
    from keras import layers

    from efn_compose.models.compiled_swish import CompiledSwish

    for side, channels in ((112, 32), (112, 96), (56, 144), (40, 144)):
        x, dy = (tf.random.normal((BATCH, side, side, channels), seed=seed) for seed in (0, 1))
        found = []
        for layer in (layers.Activation("swish"), CompiledSwish("swish")):

            @tf.function(autograph=False)
            def step(x: tf.Tensor, dy: tf.Tensor, layer: layers.Layer = layer) -> tf.Tensor:
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x)
                return tape.gradient(y, x, dy)

            step(x, dy)
            times = []
            for _ in range(STEPS):
                began = time.process_time()
                step(x, dy)
                times.append(1e3 * (time.process_time() - began))
            found.append(min(times))
        print(f"{side} x {side} x {channels}: Keras {found[0]:.1f} ms, compiled {found[1]:.1f} ms")


def measure(way: str, network: str, size: int) -> dict[str, object]:
    """Return what a cell's processes say, working side by side."""
    processes, threads = WAYS[way]
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    if threads == 1:
        environment["TF_NUM_INTEROP_THREADS"] = "1"
    command = [sys.executable, __file__, "--process", way, network, str(size)]
    team = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(processes)
    ]
    said = [_last_line(one) for one in team]
    if way == "profile":
        return {"shares": json.loads(said[0])}
    for one in team:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    seconds = [json.loads(_last_line(one)) for one in team]
    for one in team:
        one.wait()
    rate = sum(BATCH / statistics.median(each) for each in seconds)
    return {"images_per_second": round(rate, 2), "step_seconds": seconds}


def _last_line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that is for us: libraries write some of their own."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(("ready", "[", "{")):
            return line.strip()
    raise SystemExit(f"A process ended early, with code {process.wait()}.")


def read_journal() -> list[dict[str, object]]:
    """Return all cells measured so far."""
    if not JOURNAL.exists():
        return []
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()]


def report() -> None:
    """Print tables: images per second, ratios to the best of the others, slowest operations."""
    rates: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in read_journal():
        place = str(cell["network"]), int(str(cell["size"]))
        if "shares" in cell:
            slowest = list(dict(cell["shares"]).items())[:NAMED]  # type: ignore[call-overload]
            print(*place, "slowest:", ", ".join(f"{kind} {share:.1%}" for kind, share in slowest))
        else:
            rates[place][str(cell["way"])].append(float(str(cell["images_per_second"])))
    print(f"\n| network | px | {' | '.join(DEFAULT[:-1])} | best of ours to best of the others |")
    print("|" + "---|" * (len(DEFAULT) + 2))
    for (network, size), found in sorted(rates.items()):
        medians = {way: statistics.median(values) for way, values in found.items()}
        best = {True: 0.0, False: 0.0}
        for way, rate in medians.items():
            is_ours = way.startswith(("search", "training"))
            best[is_ours] = max(best[is_ours], rate)
        ratio = f"{best[True] / best[False]:.2f}" if best[False] else ""
        cells = (f"{medians[way]:.1f}" if way in medians else "" for way in DEFAULT[:-1])
        print(f"| {network} | {size} | {' | '.join(cells)} | {ratio} |")
        for way in medians.keys() - set(DEFAULT):
            print(f"{way}: {medians[way]:.1f}")


def main() -> None:
    """Measure what is not yet measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--process", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=NETWORKS)
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--ways", nargs="*", default=DEFAULT, choices=list(WAYS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--activations", action="store_true")
    args = parser.parse_args()
    if args.process:
        be_process(args.process[0], args.process[1], int(args.process[2]))
        return
    if args.activations:
        time_activations()
        return
    done = {(c["network"], c["size"], c["way"], c["round"]) for c in read_journal()}
    for number in range(0 if args.report else args.rounds):
        for size in args.sizes:
            for network in args.only:
                for way in args.ways:
                    if (network, size, way, number) in done:
                        continue
                    place = {"network": network, "size": size, "way": way, "round": number}
                    cell = {**place, **measure(way, network, size)}
                    with JOURNAL.open("a") as journal:
                        journal.write(json.dumps(cell) + "\n")
                    print(json.dumps({**place, "rate": cell.get("images_per_second")}), flush=True)
    report()


if __name__ == "__main__":
    main()
