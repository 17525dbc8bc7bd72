"""The description that a weight file carries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from efn_compose.arch import ArchSpec, Conventions, TensorSpec, inventory
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import ConfigError, WeightFileError, describe_problems
from efn_compose.store.weights.parts import PartHeader, part_problems

#: Of a file with nothing but backbone and head, of one with further parts, and of a network with
#: GroupNorm. Versions of efn_compose that know no such file refuse it by its number.
SCHEMA_VERSION, PARTS_VERSION, GROUPS_VERSION = 1, 2, 3
FILE_DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True)
class WeightHeader:
    """Everything about a set of weights but the weights.

    Args:
        spec: The network.
        conventions: How the weights want to be run.
        classes: Width of the classifier, None where there is none.
        provenance: Source file, SHA-256, dialect, licence, folded changes; JSON values.
        recipe: How composed weights were made; JSON values, empty otherwise.
        dtype: "float32", "float16", "bfloat16" or "float64".
        parts: Further parts beside backbone and head, by name.
    """

    spec: ArchSpec
    conventions: Conventions
    classes: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    parts: Mapping[str, PartHeader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype not in FILE_DTYPES:
            raise ConfigError(
                f"Weight files hold {', '.join(FILE_DTYPES)}. Received: {self.dtype!r}."
            )

        if not self.parts:
            return
        problems = part_problems(self.parts, {tensor.layer for tensor in self.tensors})
        if problems:
            raise ConfigError(describe_problems("Further parts that no file can hold.", problems))

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor of backbone and head, in network order."""
        return inventory(self.spec, self.classes)

    @property
    def all_tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor the file holds: the network's, then those of further parts."""
        return sum((part.tensors for part in self.parts.values()), start=self.tensors)

    @property
    def byte_count(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.size for tensor in self.all_tensors) * numpy_dtype(self.dtype).itemsize

    def to_json(self) -> str:
        """Return the header as one line of JSON with sorted keys."""
        version = PARTS_VERSION if self.parts else SCHEMA_VERSION
        if self.spec.normalisation == "group":
            version = GROUPS_VERSION
        fields = {
            "schema_version": version,
            "arch": self.spec.to_json(),
            "conventions": self.conventions.to_json(),
            "classes": self.classes,
            "provenance": dict(self.provenance),
            "recipe": dict(self.recipe),
            "dtype": self.dtype,
        }
        if version != SCHEMA_VERSION:
            fields["parts"] = {name: part.to_json() for name, part in self.parts.items()}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "WeightHeader":
        """Return the header that `to_json` wrote.

        Raises:
            WeightFileError: The text is not a header this version understands.
        """
        try:
            fields = json.loads(text)
            version = fields["schema_version"]
            if version not in (SCHEMA_VERSION, PARTS_VERSION, GROUPS_VERSION):
                raise WeightFileError(
                    f"schema version {version} is not {SCHEMA_VERSION}, {PARTS_VERSION} or "
                    f"{GROUPS_VERSION}, which this version of efn_compose reads; use the version that "
                    "wrote the file"
                )
            parts = {} if version == SCHEMA_VERSION else fields["parts"]
            return cls(
                spec=ArchSpec.from_json(fields["arch"]),
                conventions=Conventions.from_json(fields["conventions"]),
                classes=fields["classes"],
                provenance=fields["provenance"],
                recipe=fields["recipe"],
                dtype=fields["dtype"],
                parts={name: PartHeader.from_json(part) for name, part in parts.items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise WeightFileError(f"damaged header ({error!r})") from None
