"""Conventions that all files of a dialect share, put together with where they are known from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from efn_compose.arch import PREPROCESSINGS, Conventions, Preprocessing
from efn_compose.arch.conventions import Activation, Padding
from efn_compose.checkpoints.dialects.dialect import Resolved


def resolved(
    *,
    padding: Padding,
    bn_epsilon: float,
    activation: Activation,
    preprocessing: str | Preprocessing,
    source: str,
    bn_momentum: float = 0.99,
    class_offset: int = 0,
    sources: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Resolved:
    """Return conventions whose fields all come from `source`, except those named in `sources`.

    Args:
        preprocessing: A `Preprocessing`, or a key of `PREPROCESSINGS`.
        source: Where most fields are known from.
        sources: Field name to source, where it differs.

    Example:
        >>> resolved(padding="same", bn_epsilon=1e-3, activation="swish",
        ...          preprocessing="imagenet", source="all files").sources["padding"]
        'all files'
    """
    scaling = PREPROCESSINGS[preprocessing] if isinstance(preprocessing, str) else preprocessing
    conventions = Conventions(
        padding=padding,
        bn_epsilon=bn_epsilon,
        activation=activation,
        preprocessing=scaling,
        bn_momentum=bn_momentum,
        class_offset=class_offset,
    )
    named = {field.name: source for field in dataclasses.fields(Conventions)}
    return Resolved(conventions, named | dict(sources or {}), dict(provenance or {}))
