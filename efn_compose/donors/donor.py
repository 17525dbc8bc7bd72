"""A donor: one network's weights with everything needed to run them."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, Conventions, inventory
from efn_compose.donors.trained_for import TRAINED_KEY, TrainedFor
from efn_compose.errors import ConfigError, InventoryMismatchError, describe_problems
from efn_compose.store import WeightFile, WeightHeader, write_weights
from efn_compose.store.weights.parts import Part, part_names, part_problems, refuse_parts

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Donor:
    """One network's weights, canonical names, numpy arrays.

    Args:
        name: Short name for tables and messages.
        spec: The network.
        conventions: How the weights want to be run.
        tensors: Arrays by canonical name; kernels (height, width, in, out).
            Owned by the donor: treat them as read-only.
        provenance: Where the weights come from; JSON values.
        parts: Further parts that stand on the backbone, such as a decoder, by name.

    Raises:
        InventoryMismatchError: Names or shapes do not fit `spec`, or names of further parts no
            weight file; all are listed.

    Example:
        >>> donor = load_donor("weights/lite0.h5")  # doctest: +SKIP
        >>> logits = donor.build()(donor.preprocess(images))  # doctest: +SKIP
    """

    name: str
    spec: ArchSpec
    conventions: Conventions
    tensors: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = {tensor.name: tensor.shape for tensor in inventory(self.spec, self.classes)}
        problems = [f"- missing: {name}" for name in expected if name not in self.tensors]
        problems += [f"+ unknown: {name}" for name in self.tensors if name not in expected]
        problems += [
            f"≠ shape: {name} received {self.tensors[name].shape} expected {shape}"
            for name, shape in expected.items()
            if name in self.tensors and self.tensors[name].shape != shape
        ]
        headers = {name: part.header for name, part in self.parts.items()}
        problems += part_problems(headers, {name.partition("/")[0] for name in expected})
        if problems:
            raise InventoryMismatchError(
                describe_problems(
                    f"Donor {self.name!r} does not match the network {self.spec.variant!r}.",
                    problems,
                )
            )

    @property
    def classes(self) -> int | None:
        """Width of the classifier, or None where the donor has none."""
        kernel = self.tensors.get(f"{HEAD_LAYER}/kernel")
        return None if kernel is None else int(kernel.shape[-1])

    @property
    def trained_for(self) -> TrainedFor:
        """The classes that the classifier knows and the size of their images, as far as is known."""
        return TrainedFor.of(self.provenance, self.classes or 0)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over network, conventions and all tensors; equal donors have equal ones."""
        digest = hashlib.sha256()
        header = dataclasses.replace(self.header, provenance={})
        digest.update(header.to_json().encode())
        tensors = self.all_tensors
        for tensor in header.all_tensors:
            digest.update(np.ascontiguousarray(tensors[tensor.name], np.float32).data)
        return digest.hexdigest()

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of all parts: "backbone", "head" where there is a classifier, and further ones."""
        return part_names(self.classes, self.parts)

    def replace(self, **changes: Any) -> "Donor":
        """Return a donor with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def without_head(self) -> "Donor":
        """Return the donor without its classifier, and without what is said of its classes."""
        kept = {
            name: values
            for name, values in self.tensors.items()
            if not name.startswith(f"{HEAD_LAYER}/")
        }
        said = {key: value for key, value in self.provenance.items() if key != TRAINED_KEY}
        rules = dataclasses.replace(self.conventions, class_offset=0)
        return self.replace(tensors=kept, provenance=said, conventions=rules)

    def without_part(self, name: str) -> "Donor":
        """Return the donor without a further part, or without its "head".

        Raises:
            ConfigError: There is no such part, or it is the backbone.
        """
        if name not in self.part_names[1:]:
            others = ", ".join(self.part_names[1:]) or "none"
            raise ConfigError(f"{self.name}: no part {name!r} to take off; allowed: {others}.")
        if name == "head":
            return self.without_head()
        return self.replace(parts={part: v for part, v in self.parts.items() if part != name})

    def refuse_parts(self, doing: str) -> None:
        """Raise `FurtherPartError` where there are parts that an operation would lose or spoil.

        Args:
            doing: What is being done, such as "aligning".
        """
        refuse_parts(self.name, self.parts, doing)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return network input for RGB pixels.

        Args:
            images: (image, height, width, 3), values 0-255, any numeric dtype.

        Returns:
            float32 array of the same shape.
        """
        scaling = self.conventions.preprocessing
        mean = np.asarray(scaling.mean, np.float32)
        return (np.asarray(images, np.float32) - mean) / np.asarray(scaling.std, np.float32)

    def build(
        self,
        input_shape: tuple[int | None, int | None, int] | None = None,
        include_top: bool = True,
        classes: int | None = None,
    ) -> "keras.Model":
        """Return a Keras model with these weights, from preprocessed input to logits.

        Args:
            input_shape: (height, width, 3); default any size.
            include_top: False returns the last feature map instead of logits.
            classes: Width of a freshly initialised classifier; default the donor's own.

        Returns:
            A functional `keras.Model`. Feed it `donor.preprocess(images)`.
        """
        from efn_compose.donors.build import build_donor

        return build_donor(self, input_shape=input_shape, include_top=include_top, classes=classes)

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write the donor as a weight file; options as for `write_weights`."""
        write_weights(path, self.header, self.all_tensors, **options)

    @property
    def header(self) -> WeightHeader:
        """All that its weight file says beside the tensors."""
        parts = {name: part.header for name, part in self.parts.items()}
        return WeightHeader(self.spec, self.conventions, self.classes, self.provenance, parts=parts)

    @property
    def all_tensors(self) -> dict[str, np.ndarray]:
        """Tensors of all parts by canonical name."""
        further = [part.tensors for part in self.parts.values()]
        return {name: values for part in (self.tensors, *further) for name, values in part.items()}


def load_donor(path: str | os.PathLike[str]) -> Donor:
    """Read a weight file that efn_compose wrote.

    Args:
        path: The `.h5` file. Other formats go through `efn_compose.convert`.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe, or not one of ours.

    Example:
        >>> load_donor("efn_magic_weights.h5").spec.variant  # doctest: +SKIP
        'lite1'
    """
    with WeightFile(path) as file:
        header = file.header
        return Donor(
            name=Path(path).stem,
            spec=header.spec,
            conventions=header.conventions,
            tensors=file.read_all(),
            provenance=header.provenance,
            parts={name: file.read_part(name) for name in header.parts},
        )
