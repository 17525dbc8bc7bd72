"""A dialect: the names of one source of checkpoints, and the conventions of its networks.

A dialect is data and a few small functions; reading, mapping, checking and
reporting are the same for all and live beside this file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from efn_compose.arch import ArchSpec, Conventions
from efn_compose.checkpoints.containers.raw import RawCheckpoint


@dataclass(frozen=True)
class Row:
    """One line of a name table: foreign name, canonical name, key in `LAYOUTS`."""

    foreign: str
    canonical: str
    layout: str = "identity"


@dataclass(frozen=True)
class IgnoreRule:
    """Foreign tensors that are left out on purpose.

    Args:
        pattern: Regular expression for the whole foreign name.
        reason: Why nothing is lost; goes into the report.
    """

    pattern: str
    reason: str


class RequestOptions(TypedDict, total=False):
    """What a foreign file does not tell by itself, as keywords of `convert` and `inspect`.

    Args:
        dialect: The source library's name, one of `converters.CONVERTERS`; it is recognised by
            default.
        arch: What tensors cannot tell: a variant ("b0"), or the source library's model name with
            its tag ("tf_efficientnet_b0.ns_jft_in1k").
        ema: Whether the averaged weights are taken where a file holds both sets; True by default.
        prefix: Below which names the network is ("student."); it is looked for by default.
        channels: "sum" folds a grey stem to RGB; stems of other channels are refused by default.
        accepted: Fields beside the weights, refused because nobody here knows them, of which you
            know that they change nothing.
    """

    dialect: str | None
    arch: str | None
    ema: bool
    prefix: str | None
    channels: Literal["sum"] | None
    accepted: Sequence[str]


@dataclass(frozen=True)
class Request:
    """The options that the user gave beside the file; see `RequestOptions`."""

    dialect: str | None = None
    arch: str | None = None
    ema: bool = True
    prefix: str | None = None
    channels: Literal["sum"] | None = None
    accepted: Sequence[str] = ()

    def __post_init__(self) -> None:
        given = self.accepted
        # The letters of one field's name are no fields.
        fields = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "accepted", fields)


@dataclass(frozen=True)
class Prepared:
    """A checkpoint made ready for the name table.

    Args:
        raw: The checkpoint, with tensors renamed, selected or synthesised.
        folded: One line per arithmetic change ("BatchNorm rebuilt from bias: ...").
        ignored: (foreign name, reason) of tensors that `raw` no longer holds.
        is_grey: Its stem read one channel, and was folded to RGB.
    """

    raw: RawCheckpoint
    folded: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    is_grey: bool = False


@dataclass(frozen=True)
class Resolved:
    """How the weights want to be run, and who said so.

    Args:
        conventions: The conventions.
        sources: For each field of `Conventions` where its value came from
            ("config.json", "--arch tag ns_jft_in1k", "all files of this dialect").
        provenance: More facts worth keeping (tag, nominal resolution, crop, ...); JSON values.
    """

    conventions: Conventions
    sources: Mapping[str, str]
    provenance: Mapping[str, Any] = field(default_factory=dict)


def _prepare_nothing(raw: RawCheckpoint, request: Request) -> Prepared:
    return Prepared(raw)


@dataclass(frozen=True)
class Dialect:
    """One source of checkpoints.

    Args:
        name: Name for `--dialect`.
        title: Name for people.
        licence: SPDX name of the licence of the published weights; a file says more.
        containers: Containers its files come in (see `RawCheckpoint.container`).
        recognise: Whether the names and metadata of a checkpoint are of this dialect.
        refuse: Reason why a recognised checkpoint is refused by name, or None.
        prepare: Renames, selects or synthesises tensors before anything else looks at them.
        spec_from: The network, every width read from tensors.
        rows: Name table of a network: `rows(spec, classes, raw)`; `classes` None leaves the
            classifier out; `raw` is None when exporting.
        resolve: The conventions: `resolve(raw, spec, request)`. Raises
            `AmbiguousCheckpointError` listing candidates rather than guess.
        ignore: Tensors left out on purpose.
        offers: Whether a recognised checkpoint is converted without `--dialect`; false
            where another dialect serves it as well.
        claims: Whether a model name given with `--arch` can only be of this library;
            decides between dialects with equal tensor names.

    Example:
        >>> from converters import CONVERTERS
        >>> CONVERTERS["lite"].licence
        'Apache-2.0'
    """

    name: str
    title: str
    licence: str
    containers: frozenset[str]
    recognise: Callable[[RawCheckpoint], bool]
    spec_from: Callable[[RawCheckpoint, Request], ArchSpec]
    rows: Callable[[ArchSpec, int | None, RawCheckpoint | None], Iterable[Row]]
    resolve: Callable[[RawCheckpoint, ArchSpec, Request], Resolved]
    ignore: tuple[IgnoreRule, ...] = ()
    refuse: Callable[[RawCheckpoint], str | None] = lambda raw: None
    prepare: Callable[[RawCheckpoint, Request], Prepared] = _prepare_nothing
    offers: Callable[[RawCheckpoint], bool] = lambda raw: True
    claims: Callable[[str], bool] = lambda arch: False


#: Containers of the PyTorch world.
TORCH_CONTAINERS = frozenset({"torch-zip", "torch-legacy", "safetensors"})
#: Containers of the Keras world.
KERAS_CONTAINERS = frozenset({"h5-weights", "h5-model", "keras-weights", "keras-zip"})
