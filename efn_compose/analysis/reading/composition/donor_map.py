"""Which donor each part of a network comes from, by block and by filter."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.analysis.reading.stored_values import is_donor
from efn_compose.arch import ArchSpec, TensorSpec, inventory
from efn_compose.arch.layer_names import is_expanded
from efn_compose.compose import Blend, DonorMap, Mix, Recipe
from efn_compose.compose.space import segment_of, segments
from efn_compose.evolve.verdict.verdict import AVERAGE, COMPOSED, CONTROL, RIVALS

#: Of lines that met, so that no composition is what they began as.
_OWN_AVERAGE = "an average of networks that this run trained"


@dataclass(frozen=True)
class SegmentView:
    """One part of the network: stem, a block, or top.

    Args:
        name: "stem", "stage3_block2", "top".
        donor: Its host donor.
        filters: Donor of each of its filters, layer by layer; uint8.
        parameters: Number of its trainable parameters; 0 where the network is unknown.
        details: A description of the segment.
        layers: Names of its layers with filters, without the part's own name.
        saliency: Mean weight saliency of its expanded channels relative to that of all
            blocks; None where the weights are not at hand.
        blend: What it is averaged with; None where every filter is of one donor.
        mix: The shares that it is made of; None where it is not.
    """

    name: str
    donor: int
    filters: np.ndarray
    parameters: int = 0
    details: str = ""
    layers: tuple[str, ...] = ()
    saliency: float | None = None
    blend: Blend | None = None
    mix: Mix | None = None

    @property
    def shares(self) -> dict[int, float]:
        """Share of its filters by donor, largest first; of an average the weights.

        Of a mix, the weights without their signs, as parts of their sum.
        """
        if self.mix is not None:
            shares = self.mix.shares
            weights = {self.mix.ancestor: abs(1 - sum(shares.values()))}
            weights |= {donor: abs(share) for donor, share in shares.items()}
            whole = sum(weights.values())
            ordered = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
            return {donor: weight / whole for donor, weight in ordered if weight}
        if self.blend is not None:
            return {self.donor: 1 - self.blend.share, self.blend.donor: self.blend.share}
        if not self.filters.size:
            return {self.donor: 1.0}
        donors, counts = np.unique(self.filters, return_counts=True)
        pairs = zip(donors.tolist(), (counts / counts.sum()).tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class DonorMapView:
    """The donor map of one set of weights.

    Args:
        title: Whose map it is, in words.
        stages: Rows of the picture, (title, segments) each, in network order.
        weights: For an average, one weight per donor; empty otherwise.
    """

    title: str
    stages: tuple[tuple[str, tuple[SegmentView, ...]], ...]
    weights: tuple[float, ...] = ()

    @property
    def segments(self) -> tuple[SegmentView, ...]:
        """All parts in network order."""
        return tuple(segment for _, segments in self.stages for segment in segments)

    @property
    def is_mixed(self) -> bool:
        """Whether parts are made of shares: the weights of such an average may be below 0."""
        return any(segment.mix is not None for segment in self.segments)

    @property
    def donor_shares(self) -> dict[int, float]:
        """Share of all parameters (or of parts, where unknown) by donor, largest first.

        Of mixes, the weights without their signs, as parts of their sum.
        """
        totals: dict[int, float] = {}
        for segment in self.segments:
            for donor, share in segment.shares.items():
                totals[donor] = totals.get(donor, 0.0) + share * (segment.parameters or 1)
        whole = sum(totals.values()) or 1.0
        ordered = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
        return {donor: total / whole for donor, total in ordered}

    @property
    def switches(self) -> int:
        """How often the host donor changes from one part to the next."""
        hosts = [segment.donor for segment in self.segments]
        return sum(a != b for a, b in itertools.pairwise(hosts))


def donor_maps(
    run: RunView,
    search: SearchView,
    filters: Mapping[str, np.ndarray] | None = None,
    saliency: Mapping[str, float] | None = None,
) -> list[DonorMapView]:
    """Return the donor maps to show: the written weights, and the best composition if it is another.

    Args:
        run: The run.
        search: Its search.
        filters: Donor of each filter by layer name, as the magic weight file holds it.
        saliency: Of the segments of the written weights; see `segment_saliency`.
    """
    maps = []
    written = _written(run, filters, saliency)
    if written is not None:
        maps.append(written)
    if written is None or (not written.weights and len(written.donor_shares) == 1):
        candidate = _candidate(run, search)
        if candidate is not None:
            maps.append(candidate)
    return maps


def shown_genome(run: RunView, search: SearchView) -> tuple[float, ...]:
    """Return the composed genome of the last map that `donor_maps` draws; empty if there is none."""
    recipe = run.result.get("recipe")
    if isinstance(recipe, dict) and recipe.get("kind") == "genome":
        written = tuple(v for v in Recipe.stored_values(recipe) if isinstance(v, int))
        if written and run.genomes.pure_donor(written) is None:
            return written
    return _candidate_genome(run, search)[0]


def mixed_genome(run: RunView, search: SearchView) -> tuple[float, ...]:
    """Return the genes of `shown_genome`, where each is a part's donor.

    Empty for an average, a pure donor, and where genes say more than a donor.
    """
    found = shown_genome(run, search)
    return found if len(set(found)) > 1 and run.genomes.genes_are_donors else ()


def _written(
    run: RunView,
    filters: Mapping[str, np.ndarray] | None,
    saliency: Mapping[str, float] | None,
) -> DonorMapView | None:
    recipe = run.result.get("recipe")
    if not isinstance(recipe, dict):
        return None
    winner = str(run.result.get("winner", ""))
    values = tuple(v for v in Recipe.stored_values(recipe) if isinstance(v, int | float))
    hosts, units = _split_map(run.result.get("donor_map"))
    if run.result.get("is_start") and hosts:
        title = "The written weights were trained in this run; this is what they began as"
        units = {**units, **(filters or {})}
        start = DonorMap(hosts, blends=_stored_blends(run.result.get("blends")))
        return _view(run.spec, title, hosts, units, saliency, start)
    if recipe.get("kind") == "average":
        what = "the average of all donors" if winner == AVERAGE else _OWN_AVERAGE
        return DonorMapView(f"The written weights: {what}", (), values)
    if recipe.get("kind") == "segments":
        mean = np.reshape(values, (-1, max(1, len(run.donors)))).mean(axis=0)
        title = "The written weights: an average with weights of its own in every segment; here their mean"
        return DonorMapView(title, (), tuple(mean.tolist()))
    title = "The written weights: composed"
    if winner not in (COMPOSED, AVERAGE, CONTROL):
        whose = RIVALS.get(winner, f"donor {winner}, unmixed")
        title = f"The written weights: {whose}"
    found = run.genomes.decode(values) or DonorMap({})
    hosts = hosts or dict(found.segments)
    units = {**found.units, **units, **(filters or {})}
    return _view(run.spec, title, hosts, units, saliency, found) if hosts else None


def _stored_blends(found: object) -> dict[str, Blend]:
    """Return the averages within stored weights, by segment."""
    return {
        str(name): Blend(one["donor"], one["share"])
        for name, one in (found.items() if isinstance(found, dict) else ())
        if isinstance(one, dict)
        and is_donor(one.get("donor"))
        and isinstance(one.get("share"), float)
        and 0 < one["share"] < 1
    }


def _candidate(run: RunView, search: SearchView) -> DonorMapView | None:
    values, title = _candidate_genome(run, search)
    found = run.genomes.decode(values)
    return (
        None if found is None else _view(run.spec, title, found.segments, found.units, found=found)
    )


def _candidate_genome(run: RunView, search: SearchView) -> tuple[tuple[float, ...], str]:
    """Return the composed genome to show where none was written, and what to call it."""
    tested = [e for e in run.by_phase.get("test", ()) if e.arm == COMPOSED and e.kind == "genome"]
    if tested:
        return tested[-1].values, "The best composed candidate, not written"
    if search.best is not None:
        return search.best.genome, "The genome believed best so far"
    return (), ""


def _split_map(found: object) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Return hosts and per-filter donors of a stored map, flat or with "segments" and "units"."""
    if not isinstance(found, dict):
        return {}, {}
    if isinstance(found.get("segments"), dict):
        flat = {**found["segments"], **(found.get("units") or {})}
    else:
        flat = found
    hosts, units = {}, {}
    for name, donors in flat.items():
        if is_donor(donors):
            hosts[str(name)] = donors
        elif isinstance(donors, list) and donors and all(map(is_donor, donors)):
            units[str(name)] = np.array(donors, np.int64)
            if not is_expanded(str(name)):
                hosts.setdefault(str(name), int(np.bincount(units[str(name)]).argmax()))
    return hosts, units


def _view(
    spec: ArchSpec | None,
    title: str,
    hosts: Mapping[str, int],
    units: Mapping[str, np.ndarray],
    saliency: Mapping[str, float] | None = None,
    found: DonorMap | None = None,
) -> DonorMapView:
    """Return the map of a network; without its description, of the bare segment names."""
    tensors: dict[str, list[TensorSpec]] = {}
    for tensor in inventory(spec) if spec is not None else ():
        tensors.setdefault(segment_of(tensor), []).append(tensor)
    rows: dict[str, list[SegmentView]] = {}
    details = _details(spec) if spec is not None else {}
    for name in _in_network_order(hosts, spec):
        donor = hosts[name]
        own = tensors.get(name, [])
        view = SegmentView(
            name=name,
            donor=donor,
            filters=_filters(name, own, donor, units),
            parameters=sum(tensor.size for tensor in own if tensor.is_trainable),
            details=details.get(name, ""),
            layers=tuple(
                tensor.layer.removeprefix(f"{name}_")
                for tensor in own
                if tensor.role in ("kernel", "depthwise_kernel")
            ),
            saliency=(saliency or {}).get(name),
            blend=found.blends.get(name) if found is not None else None,
            mix=found.mixes.get(name) if found is not None else None,
        )
        rows.setdefault(name.split("_")[0], []).append(view)
    titles = _row_titles(spec) if spec is not None else {}
    return DonorMapView(
        title, tuple((titles.get(row, row), tuple(parts)) for row, parts in rows.items())
    )


def _in_network_order(names: Iterable[str], spec: ArchSpec | None) -> list[str]:
    """Return segment names from input to output; a JSON file has them in any order."""
    known = {name: n for n, name in enumerate(segments(spec))} if spec is not None else {}

    def place(name: str) -> tuple[object, ...]:
        numbers = [int(number) for number in re.findall(r"\d+", name)[:2]]
        end = 0 if name == "stem" else 2 if name == "top" else 1
        return (known.get(name, len(known)), end, numbers, name)

    return sorted(names, key=place)


def _filters(
    name: str, tensors: Sequence[TensorSpec], host: int, units: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the donor of each filter of a segment, its convolutions one after another."""
    if name in units:
        return np.asarray(units[name])
    found = []
    for tensor in tensors:
        if tensor.role not in ("kernel", "depthwise_kernel"):
            continue
        axis = 2 if tensor.role == "depthwise_kernel" else 3
        size = tensor.shape[axis]
        donors = units.get(tensor.layer, units.get(tensor.axes[axis].group or ""))
        if donors is None or len(donors) != size:
            donors = np.full(size, host)
        found.append(np.asarray(donors))
    return np.concatenate(found) if found else np.array([host])


def _details(spec: ArchSpec) -> dict[str, str]:
    words = {
        "stem": f"3×3 convolution, {spec.stem_channels} channels",
        "top": f"1×1 convolution, {spec.top_channels} channels",
    }
    for block in spec.blocks:
        kind = "fused " if block.kind == "fused" else ""
        words[block.name] = (
            f"{kind}{block.kernel}×{block.kernel}, "
            f"{block.in_channels} → {block.mid_channels} → {block.out_channels} channels"
            f"{', stride 2' if block.stride == 2 else ''}"
        )
    return words


def _row_titles(spec: ArchSpec) -> dict[str, str]:
    titles = {"stem": f"Stem · {spec.stem_channels}", "top": f"Top · {spec.top_channels}"}
    for stage, channels in enumerate(spec.stage_channels, start=1):
        titles[f"stage{stage}"] = f"Stage {stage} · {channels}"
    return titles
