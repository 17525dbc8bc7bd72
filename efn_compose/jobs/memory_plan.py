"""What a run takes of a machine: per worker, per node and on disk, worked out before it begins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from efn_compose.arch import ArchSpec
from efn_compose.arch.cost import cost
from efn_compose.data.cache.place import cache_folder, limit_bytes, list_cache
from efn_compose.data.holding import Holding, ImagesIn
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.store.atomic import free_bytes
from efn_compose.store.environment import free_memory

#: What a process takes that has imported TensorFlow and traced a network, by device; measured
#: (experiments/results/streaming.md). On a GPU the driver's libraries come to it.
_PROCESS_BYTES = {"cpu": 0.8e9, "gpu": 3.0e9, "tpu": 3.0e9}
#: Copies of a network that a worker has: as composed, in the network, gradients, Adam's two, and
#: what it hands back.
_COPIES = 6
#: Parts of the cache that a worker has in memory at a time.
_CHUNKS_BYTES = 0.2e9
#: Tensors of each layer's output that a step keeps; see `models.memory`. Gradients, and room that is
#: lost between pieces, come to them.
_STEP_BYTES, _MARGIN = 4 * 3, 1.25
#: What the maps of images that pass without gradients may take; see `models.memory`.
_INFERENCE_BYTES = 2**30
#: Of the free memory, what a plan may take: estimates are not exact.
_USABLE = 0.9


@dataclass(frozen=True)
class Machine:
    """What a machine has to give.

    Args:
        memory_bytes: Main memory that is free; None where the system does not say.
        disk_bytes: What the cache of decoded images may take.
    """

    memory_bytes: int | None
    disk_bytes: int

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine."""
        # Files of the cache make room for others, or are those that are wanted.
        held = sum(entry.file_bytes for entry in list_cache())
        return cls(free_memory(), min(free_bytes(cache_folder()) + held, limit_bytes()))


@dataclass(frozen=True)
class Demand:
    """What a run works with.

    Args:
        spec: The largest network.
        batch_size: Images of a step; 0 where it is found by trying, and fits.
        size: Height and width of the images in pixels.
        images: Number of images.
        networks: Networks that the driver holds, and once more for all workers of a node.
        workers: Workers of a node.
        device: "cpu", "gpu" or "tpu".
        images_in: "memory", "cache" or "auto".
        in_ray: Whether workers are processes of their own.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> demand = Demand(arch_spec("b0"), 32, 64, 1000, networks=2, workers=4)
        >>> demand.image_bytes
        12288000
    """

    spec: ArchSpec
    batch_size: int
    size: int
    images: int
    networks: int
    workers: int
    device: str = "cpu"
    images_in: ImagesIn = "auto"
    in_ray: bool = True

    @classmethod
    def of(
        cls, spec: ArchSpec, batch_size: int, size: int, images: int, networks: int,
        executor: ExecutorOptions,
    ) -> "Demand":  # fmt: skip
        """Return the demand of a run on the executor that its settings ask for."""
        device = executor.device if executor.device != "auto" else "cpu"
        return cls(
            spec, batch_size, size, images, networks, executor.expected_workers, device,
            executor.images, executor.in_ray,
        )  # fmt: skip

    @property
    def image_bytes(self) -> int:
        """Bytes of all images decoded."""
        return self.images * self.size * self.size * 3


@dataclass(frozen=True)
class MemoryPlan:
    """What a demand takes of a machine, in bytes.

    Args:
        demand: What the run works with.
        machine: What there is.
    """

    demand: Demand
    machine: Machine

    @property
    def is_cached(self) -> bool:
        """Whether images are read from the cache."""
        demand = self.demand
        copies = demand.workers + 1
        holding = Holding(demand.images_in, copies, self.machine.memory_bytes)
        return holding.is_cached(demand.image_bytes)

    @property
    def network_bytes(self) -> int:
        """One network's weights."""
        return 4 * cost(self.demand.spec, self.demand.size).parameters

    @property
    def worker_bytes(self) -> int:
        """Main memory of one worker."""
        demand = self.demand
        found = _PROCESS_BYTES[demand.device] + _COPIES * self.network_bytes
        found += _CHUNKS_BYTES if self.is_cached else demand.image_bytes
        if demand.device == "cpu":
            network = cost(demand.spec, demand.size)
            step = _STEP_BYTES * network.activations * max(1, demand.batch_size)
            # What one leaves, the other takes.
            inference = min(_INFERENCE_BYTES, 256 * _STEP_BYTES * network.largest_map)
            found += _MARGIN * max(step, inference)
        return int(found)

    @property
    def shared_bytes(self) -> int:
        """What all workers of a node share: donors, and images where they are held."""
        demand = self.demand
        if not demand.in_ray:
            return 0
        return demand.networks * self.network_bytes + (0 if self.is_cached else demand.image_bytes)

    @property
    def driver_bytes(self) -> int:
        """The process that leads; without Ray it is the worker, too."""
        demand = self.demand
        found = demand.networks * self.network_bytes
        found += 0 if self.is_cached else demand.image_bytes
        return int(found + (_PROCESS_BYTES["cpu"] if demand.in_ray else 0))

    @property
    def node_bytes(self) -> int:
        """Main memory of the machine that leads, with all its workers."""
        return self.demand.workers * self.worker_bytes + self.shared_bytes + self.driver_bytes

    @property
    def disk_bytes(self) -> int:
        """What the cache takes on the disk of each node."""
        return self.demand.image_bytes if self.is_cached else 0

    @property
    def fits(self) -> bool:
        """Whether memory and disk suffice."""
        return not self._problems()

    def check(self, batch_setting: str) -> "MemoryPlan":
        """Return the plan.

        Args:
            batch_setting: What the batch size is called, for the message.

        Raises:
            ConfigError: It does not fit; the settings that would make it fit are named.
        """
        problems = self._problems()
        if problems:
            ways = [f"{name} = {value}" for name, value in self._ways(batch_setting)][:2]
            advice = (
                f"It fits with {' or with '.join(ways)}."
                if ways
                else (
                    "No smaller batch and no fewer workers make it fit: take a smaller network, or a "
                    "machine with more memory."
                )
            )
            raise ConfigError(
                describe_problems("The run does not fit on this machine.", problems, advice)
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        names = ("worker_bytes", "shared_bytes", "driver_bytes", "node_bytes", "disk_bytes")
        return {name: getattr(self, name) for name in names} | {
            "workers": self.demand.workers,
            "images_in": "cache" if self.is_cached else "memory",
            "image_bytes": self.demand.image_bytes,
            "free_memory_bytes": self.machine.memory_bytes,
            "free_disk_bytes": self.machine.disk_bytes,
        }

    def __str__(self) -> str:
        """Return the plan as lines for people."""
        demand, free = self.demand, self.machine.memory_bytes
        free_words = "" if free is None else f" of {free / 1e9:.1f} GB free"
        where = f"{demand.image_bytes / 1e9:.2f} GB, " + (
            "read from the cache" if self.is_cached else "held in memory"
        )
        disk = f"the cache {self.disk_bytes / 1e9:.2f} GB of {self.machine.disk_bytes / 1e9:.1f} GB"
        return (
            f"decoded       {where}\n"
            f"plan          per worker {self.worker_bytes / 1e9:.1f} GB; per node "
            f"{self.node_bytes / 1e9:.1f} GB{free_words} (workers {demand.workers}, shared "
            f"{self.shared_bytes / 1e9:.1f} GB, driver {self.driver_bytes / 1e9:.1f} GB); on disk "
            f"{disk if self.is_cached else 'no cache'}"
        )

    def _problems(self) -> Sequence[str]:
        free, problems = self.machine.memory_bytes, []
        if free is not None and self.node_bytes > _USABLE * free:
            problems.append(
                f"- memory: {self.demand.workers} workers of {self.worker_bytes / 1e9:.1f} GB, "
                f"{self.shared_bytes / 1e9:.1f} GB shared and {self.driver_bytes / 1e9:.1f} GB of "
                f"the driver are {self.node_bytes / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"
            )
        if self.disk_bytes > self.machine.disk_bytes:
            problems.append(
                f"- disk: the decoded images are {self.disk_bytes / 1e9:.1f} GB; the cache may take "
                f"{self.machine.disk_bytes / 1e9:.1f} GB in {cache_folder()}"
            )
        return problems

    def _ways(self, batch_setting: str) -> Iterator[tuple[str, object]]:
        """Yield settings that make the plan fit, each alone."""
        demand = self.demand
        tries: list[tuple[str, str, Sequence[Any]]] = [
            ("executor.images", "images_in", ["cache"] if demand.images_in == "memory" else []),
            ("executor.workers", "workers", range(demand.workers - 1, 0, -1)),
            (batch_setting, "batch_size", [demand.batch_size >> n for n in range(1, 12)]),
            ("data.size", "size", range(demand.size // 32 * 32, 31, -32)),
        ]
        for setting, field, values in tries:
            for value in values:
                changed: dict[str, Any] = {field: value}
                if value and MemoryPlan(replace(demand, **changed), self.machine).fits:
                    yield setting, f'"{value}"' if isinstance(value, str) else value
                    break
