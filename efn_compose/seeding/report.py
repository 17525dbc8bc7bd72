"""The report of a seeding, for people and machines."""

import dataclasses
from dataclasses import dataclass
from typing import Any

#: Layers that a text names before it says "and N more".
_NAMED_LAYERS = 8


@dataclass(frozen=True)
class SeedReport:
    """The tensors loaded into a model, and the input that the model now expects.

    Args:
        weights: Name of the weights.
        model: Name of the model.
        library: Whose layer names the model has: "keras.applications", ...
        variant: The network of the model.
        source_variant: The network of the weights; another one where they were nested.
        tensors: Number of tensors assigned, all of the backbone.
        parameters: Number of values in them.
        head: Whether the classifier was loaded too.
        folded: One line per exact arithmetic change.
        approximations: One line per difference that was accepted.
        input_note: The input that the model expects.
        frozen: Layers of the network that a training would not change.
        left_alone: Layers with weights that are not part of the network: heads, decoders.
        unused_parts: Further parts of the weights, which no model is given.
    """

    weights: str
    model: str
    library: str
    variant: str
    source_variant: str
    tensors: int
    parameters: int
    head: bool
    folded: tuple[str, ...]
    approximations: tuple[str, ...]
    input_note: str
    frozen: tuple[str, ...]
    left_alone: tuple[str, ...]
    unused_parts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self) -> str:
        """Return the report as lines for people."""
        nested = (
            "" if self.variant == self.source_variant else f" (nested from {self.source_variant})"
        )
        part = "backbone and classifier" if self.head else "backbone"
        lines = [
            f"{self.weights} -> {self.model}: the whole {part} of {self.variant}{nested}, "
            f"{self.tensors} tensors, {self.parameters:,} values, layer names of {self.library}",
            f"  input: {self.input_note}",
        ]
        lines += [f"  folded: {line}" for line in self.folded]
        lines += [f"  approximate: {line}" for line in self.approximations]
        if self.frozen:
            lines.append(
                f"  frozen, will not be trained: {_some(self.frozen)}. Set "
                "layer.trainable = True and compile again; frozen backbones usually score lower."
            )
        if self.left_alone:
            lines.append(f"  left as they are: {_some(self.left_alone)}")
        if self.unused_parts:
            lines.append(f"  parts of the weights not used: {_some(self.unused_parts)}")
        return "\n".join(lines)


def _some(names: tuple[str, ...]) -> str:
    listed = ", ".join(names[:_NAMED_LAYERS])
    rest = len(names) - _NAMED_LAYERS
    return f"{listed} and {rest} more" if rest > 0 else listed
