"""Workers of experiments: a network that has been traced serves all images of as many classes."""

from typing import Any


class Traced:
    """Makes workers of one setup over changing images.

    Args:
        setup: `WorkerSetup` of all of them.
    """

    def __init__(self, setup: Any) -> None:
        self.setup = setup
        self._latest: dict[tuple[int, int], Any] = {}

    def worker(self, data: Any) -> Any:
        """Return an evaluator over a data set; it takes the network of the one before it."""
        from efn_compose.evolve.workers.evaluator import Evaluator

        key = data.classes, data.size
        known = self._latest.get(key)
        if known is None:
            found = self.setup.make_worker(data)
        else:
            found = Evaluator(self.setup, data, known.network.placement, known.network)
        self._latest[key] = found
        return found
