"""Several networks asked about the same images: each architecture is traced once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from efn_compose.assess.metrics import log_softmax
from efn_compose.jobs.predictions.networks import Network
from efn_compose.train.engine.forward import Forward
from efn_compose.train.objectives.backbone import start_backbone
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.objectives.linear_head import head_layers
from efn_compose.train.tta import TtaOptions, View, make_views, merge_views
from efn_compose.train.tta.views import as_it_is


class Panel:
    """Asks networks in turn; those of one architecture share a traced model and swap weights.

    Args:
        networks: Whom to ask.
        tta: Views of each image; None: those of each network's own training.
        temperatures: Divisor of each network's logits; empty: 1.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        tta: TtaOptions | None = None,
        temperatures: Sequence[float] = (),
    ) -> None:
        self.networks = networks
        self._tta = tta
        self._temperatures = temperatures or [1.0] * len(networks)
        self._models: dict[str, tuple[Any, Forward]] = {}
        self._sitting: dict[str, Network] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes in pixels that images are needed in."""
        return tuple(sorted({network.size for network in self.networks}))

    def ask(
        self, images: Mapping[int, np.ndarray], numbers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each network's answer, and the answer to each view of it.

        Args:
            images: By size in pixels, (image, size, size, 3) uint8.
            numbers: (image,) that drawn views draw by.

        Returns:
            (network, image, class) float32 probabilities; (network and view, image, class) float64.
        """
        answers = [
            self.ask_one(network, images[network.size], numbers, divisor)
            for network, divisor in zip(self.networks, self._temperatures, strict=True)
        ]
        merged, every = zip(*answers, strict=True)
        return np.stack(merged), np.concatenate(every)

    def ask_one(
        self, network: Network, pixels: np.ndarray, numbers: np.ndarray, temperature: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one network's answer, and the answer to each view of it.

        Args:
            network: Any network; one of a known architecture is not traced again.
            pixels: (image, size, size, 3) uint8, of its size.
            numbers: (image,) that drawn views draw by.
            temperature: Divisor of its logits.

        Returns:
            (image, class) float32 probabilities; (view, image, class) float64.
        """
        predict, views = self._seat(network), self._views(network)
        logits = [predict(view(pixels, numbers)) for view in views]
        if temperature != 1.0:
            logits = [values / np.float32(temperature) for values in logits]
        stated = np.exp([log_softmax(values) for values in logits])
        merge = (self._tta or network.tta).merge
        # The same two ways as a training's own answers, to the bit.
        one = stated[0] if views == [as_it_is] else merge_views(np.stack(logits), merge)
        return one.astype(np.float32), stated

    def _views(self, network: Network) -> list[View]:
        return make_views(self._tta or network.tta, network.augment, network.seed)

    def _seat(self, network: Network) -> Callable[[np.ndarray], np.ndarray]:
        """Put a network's weights into the model of its architecture, and return how to ask it."""
        key = _architecture(network)
        if self._sitting.get(key) is network:
            return self._models[key][1]
        donor, head = network.load()
        if key not in self._models:
            # Files hold standardised kernels themselves: plain layers compute what the training's did.
            options = replace(network.train, normalisation="own")
            objective = Classification(network.classes, options)
            model = objective.build(donor)

            def infer(pixels: object) -> Any:
                return objective.infer(model, pixels)

            self._models[key] = (model, Forward(infer, donor.spec, donor.conventions))
        model, forward = self._models[key]
        start_backbone(model, donor)
        for layer in head_layers(model):
            layer.kernel.assign(head[f"{layer.name}/kernel"])
            layer.bias.assign(head[f"{layer.name}/bias"])
        self._sitting[key] = network
        return forward


def _architecture(network: Network) -> str:
    head = sorted(network.head_shapes.items())
    train = network.train
    return repr((network.spec, network.conventions, head, train.pooling, train.precision))
