"""Our own names in a safetensors file, as `efn-compose export --to safetensors` writes them."""

from collections.abc import Iterator

from efn_compose.arch import ArchSpec, Conventions, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect, Request, Resolved, Row
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.errors import ConversionError, WeightFileError
from efn_compose.store import WeightHeader

_KEY = "efn_compose"


def _recognise(raw: RawCheckpoint) -> bool:
    return "stem_conv/kernel" in raw.tensors and _KEY in raw.metadata


def _header(raw: RawCheckpoint) -> WeightHeader:
    try:
        return WeightHeader.from_json(str(raw.metadata.get(_KEY)))
    except WeightFileError as error:
        raise ConversionError(f"{raw.path}: {error}.") from None


def _spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    return _header(raw).spec


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    for tensor in inventory(spec, classes):
        yield Row(tensor.name, tensor.name)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    header = _header(raw)
    rules: Conventions = header.conventions
    return resolved(
        padding=rules.padding,
        bn_epsilon=rules.bn_epsilon,
        activation=rules.activation,
        preprocessing=rules.preprocessing,
        bn_momentum=rules.bn_momentum,
        class_offset=rules.class_offset,
        source="header of the file",
        # The origin of the weights is that of the file they were exported from, and not this copy.
        provenance=header.provenance,
    )


DIALECT = Dialect(
    name="canonical",
    title="efn_compose safetensors",
    licence="as its source",
    containers=frozenset({"safetensors"}),
    recognise=_recognise,
    spec_from=_spec_from,
    rows=_rows,
    resolve=_resolve,
)
