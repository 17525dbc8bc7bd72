"""Training images per second of the whole machine: our workers against PyTorch, taken in turn.

    python experiments/engine_throughput.py --sizes 32 64

Ours: one process per core with one TensorFlow thread each, the resident model a run uses (B0, uint8
images in memory, our Adam). PyTorch: timm's tf_efficientnet_b0, channels-last, the same batch, its
fused Adam, with one process per core and with one process on all cores; the better of the two
counts. Everyone trains the same number of images per round, all processes start together, and the
round ends when the last one is done. All processes are alive throughout and wait for their turn.
On a machine that others use too the wall clock says little; images per second of processor time are
given beside it, and are what a free core would train.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection

CLASSES = 10


def ours(pipe: Connection, threads: int, size: int, batch: int, images: int) -> None:
    """Be one of our workers: train a round for every message."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np
    import tensorflow as tf

    from efn_compose.arch import arch_spec, default_conventions
    from efn_compose.train.resident.resident import ResidentModel, TrainSettings

    spec = arch_spec("b0")
    model = ResidentModel(
        spec, default_conventions(spec), CLASSES, TrainSettings(batch_size=batch), size
    )
    rng = np.random.default_rng(0)
    pixels = tf.constant(rng.integers(0, 256, (images, size, size, 3)), tf.uint8)
    labels = tf.constant(rng.integers(0, CLASSES, images), tf.int32)
    start = model.tensors()

    def round_of_training() -> None:
        model.load(start, seed=1)
        model.train(pixels, labels, model.epoch_order(images, seed=1))

    _serve(pipe, round_of_training)


def torch(pipe: Connection, threads: int, size: int, batch: int, images: int) -> None:
    """Be one PyTorch process: train a round for every message."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch
    from torch.nn.functional import cross_entropy

    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import timm

    torch.set_num_threads(threads)
    model = timm.create_model("tf_efficientnet_b0", num_classes=CLASSES, drop_rate=0.2)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    pixels = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (images,))
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)

    def round_of_training() -> None:
        order = torch.randperm(images)
        for start in range(0, images - batch + 1, batch):
            numbers = order[start : start + batch]
            inputs = ((pixels[numbers].float() - mean) / std).contiguous(
                memory_format=torch.channels_last
            )
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(model(inputs), labels[numbers]).backward()
            optimizer.step()

    _serve(pipe, round_of_training)


def _serve(pipe: Connection, work: object) -> None:
    work()
    pipe.send("ready")
    while pipe.recv() == "go":
        began = time.process_time()
        work()
        pipe.send(time.process_time() - began)


class Team:
    """Processes that train a round together.

    Args:
        kind: `ours` or `torch`.
        processes: Number of processes.
        threads: Of each.
        size: Pixels.
        batch: Images per step.
        images: Per process and round.
    """

    def __init__(
        self, kind: object, processes: int, threads: int, size: int, batch: int, images: int
    ) -> None:
        self.images = images * processes
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(processes):
            here, there = context.Pipe()
            process = context.Process(target=kind, args=(there, threads, size, batch, images))
            process.start()
            self._pipes.append(here)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def rates(self) -> tuple[float, float]:
        """Train one round; return images per second of wall and of processor time."""
        start = time.perf_counter()
        for pipe in self._pipes:
            pipe.send("go")
        used = sum(pipe.recv() for pipe in self._pipes)
        return self.images / (time.perf_counter() - start), self.images / used

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.send("end")
        for process in self._processes:
            process.join()


def measure(size: int, batch: int, images: int, rounds: int, cores: int) -> dict[str, object]:
    """Return rates and their ratio at one image size."""
    teams = {
        "ours": Team(ours, cores, 1, size, batch, images),
        f"PyTorch, processes: {cores}": Team(torch, cores, 1, size, batch, images),
    }
    if cores > 1:
        name = f"PyTorch, 1 process of {cores} threads"
        teams[name] = Team(torch, 1, cores, size, batch, images)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in teams}
    try:
        for _ in range(rounds):
            for name, team in teams.items():
                rates[name].append(team.rates())
    finally:
        for team in teams.values():
            team.close()
    answer: dict[str, object] = {
        "size": size, "batch": batch, "load average": os.getloadavg()[0],
    }  # fmt: skip
    for place, clock in enumerate(("wall", "processor")):
        found = {name: [pair[place] for pair in pairs] for name, pairs in rates.items()}
        medians = {name: statistics.median(values) for name, values in found.items()}
        rival = max((name for name in teams if name != "ours"), key=medians.get)
        ratios = [a / b for a, b in zip(found["ours"], found[rival], strict=True)]
        answer[clock] = {
            "images per second": {name: round(median, 1) for name, median in medians.items()},
            "against": rival,
            "ratio": round(statistics.median(ratios), 3),
            "range": [round(min(ratios), 3), round(max(ratios), 3)],
        }
    return answer


def main() -> None:
    """Measure every size and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=256, help="per process and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    for size in args.sizes:
        print(
            json.dumps(measure(size, args.batch, args.images, args.rounds, args.cores)), flush=True
        )


if __name__ == "__main__":
    main()
