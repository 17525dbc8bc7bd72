"""Fills the caches of all nodes of a Ray cluster: each node decodes a share, and gets what others decoded.

Pixels travel through the object store, a part at a time. A node that does not see the images gets
all of them so.
"""

import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from efn_compose.data.cache.node import Failures, NodeCache, NodeState
from efn_compose.data.cache.order import FillOrder
from efn_compose.data.decoding.decode import undecodable, with_progress
from efn_compose.errors import CacheWarning
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors.ray_session import start_ray

#: Bytes of pixels that travel at a time, and such parts that each node may be late by.
_PART_BYTES, _LATE = 32 * 2**20, 2
#: Parts that each node decodes, at least: so that a fast one takes more of them.
_PARTS_EACH = 4


def fill_nodes(
    options: ExecutorOptions, order: FillOrder, show_progress: bool, tolerates: bool
) -> None:
    """Fill the cache of each node of a cluster.

    A node that cannot take part is said; it fills its cache when it needs it.

    Args:
        options: Name the cluster.
        order: What is wanted.
        show_progress: Show a bar on a terminal when it takes more than two seconds.
        tolerates: Mark images that cannot be decoded, and finish.

    Raises:
        DataError: Images cannot be decoded.
        RunError: The cluster cannot be reached.
    """
    is_ours = start_ray(options)
    import ray

    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if len(nodes) > 1:
            _Fill(nodes, order).run(show_progress, tolerates)
    finally:
        if is_ours:
            ray.shutdown()


class _Fill:
    """One fill of several nodes."""

    def __init__(self, nodes: list[dict[str, Any]], order: FillOrder) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._order = ray, order
        here, stored = ray.get_runtime_context().get_node_id(), ray.put(order)
        actor: Any = ray.remote(NodeCache)
        self._actors: dict[str, Any] = {}
        for node in (node["NodeID"] for node in nodes):
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            # Decoding and writing side by side.
            options = {"num_cpus": 0, "max_concurrency": 2, "scheduling_strategy": there}
            self._actors[node] = actor.options(**options).remote(stored, node == here)
        self._states: dict[str, NodeState] = {}
        self._failures: Failures = []

    def run(self, show_progress: bool, tolerates: bool) -> None:
        """Fill all caches."""
        try:
            self._begin()
            parts = self._parts()
            total = sum(map(len, parts))
            for _ in with_progress(self._fill(parts), total, show_progress):
                pass
            if self._failures and not tolerates:
                raise undecodable(sorted(self._failures), len(self._order.numbers))
            self._ask("finish", list(self._actors))
        finally:
            for one in self._actors.values():
                self._ray.kill(one)

    def _begin(self) -> None:
        """Look what each node has, and say which do not see the images."""
        self._states = self._ask("begin", list(self._actors))
        source = self._order.header.source or "the source"
        for state in self._states.values():
            if not state.sees_source:
                warnings.warn(
                    f"{state.host}: the images of {source} are not there, or are others than where "
                    "the run began. The other nodes decode for it.",
                    CacheWarning,
                    stacklevel=2,
                )

    def _parts(self) -> deque[np.ndarray]:
        """Return the places that some node wants, in parts."""
        wanted = [state.missing for state in self._states.values()]
        places = np.unique(np.concatenate(wanted)) if wanted else np.zeros(0, int)
        most = max(1, _PART_BYTES // self._order.header.image_bytes)
        each = min(most, -(-len(places) // (_PARTS_EACH * max(1, len(wanted)))))
        return deque(places[start : start + each] for start in range(0, len(places), max(1, each)))

    def _fill(self, parts: deque[np.ndarray]) -> Iterator[None]:
        """Let nodes decode parts and keep them; yield once per image."""
        ray = self._ray
        free = deque(
            node
            for node, state in self._states.items()
            if state.sees_source or state.standing == "whole"
        )
        running: dict[Any, tuple[str, np.ndarray, Any]] = {}
        kept: dict[str, deque[Any]] = {node: deque() for node in self._actors}
        while (parts and free) or running:
            while parts and free:
                node = free.popleft()
                if node not in self._actors:
                    continue
                places = parts.popleft()
                pixels, failures = self._actors[node].decode.options(num_returns=2).remote(places)
                running[failures] = node, places, pixels
            done = ray.wait(list(running), num_returns=1)[0][0]
            node, places, pixels = running.pop(done)
            try:
                failures = ray.get(done)
            except ray.exceptions.RayError as error:
                self._lose(node, error)
                parts.appendleft(places)
                continue
            free.append(node)
            self._failures += failures
            for other in list(self._actors):
                if np.isin(places, self._states[other].missing).any():
                    keep = self._actors[other].keep
                    kept[other].append(keep.remote(places, pixels, failures))
                    self._settle(other, kept[other], _LATE)
            yield from [None] * len(places)
        for node in list(self._actors):
            self._settle(node, kept[node], 0)

    def _settle(self, node: str, kept: deque[Any], late: int) -> None:
        """Wait until a node has written all but some of the parts."""
        while len(kept) > late and node in self._actors:
            try:
                self._ray.get(kept.popleft())
            except self._ray.exceptions.RayError as error:
                self._lose(node, error)

    def _ask(self, method: str, nodes: list[str]) -> dict[str, Any]:
        """Return the answer of each node that gives one."""
        asked = {node: getattr(self._actors[node], method).remote() for node in nodes}
        answers: dict[str, Any] = {}
        for node, reference in asked.items():
            try:
                answers[node] = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._lose(node, error)
        return answers

    def _lose(self, node: str, error: Exception) -> None:
        """Go on without a node."""
        if node not in self._actors:
            return
        self._ray.kill(self._actors.pop(node))
        state = self._states.pop(node, None)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        warnings.warn(
            f"{state.host if state else 'A node'} cannot fill its cache with the others "
            f"({(lines or [''])[-1][:300]}). It does so when it needs the images.",
            CacheWarning,
            stacklevel=2,
        )
