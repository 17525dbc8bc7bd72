"""The files of a finished run: the magic weights and the machine-readable result."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efn_compose.arch import HEAD_LAYER
from efn_compose.compose import DonorMap, GenomeSpace, ShareGenomeSpace
from efn_compose.compose.share_space import described_shares
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.donors.licences import resulting_licence
from efn_compose.donors.seen_images import SeenImages, seen_by, with_seen
from efn_compose.donors.trained_for import PRETRAINED_KEY, TRAINED_BEFORE_KEY, TrainedFor
from efn_compose.evolve.run import RunResult
from efn_compose.evolve.verdict.verdict import Difference
from efn_compose.store import WeightHeader, write_weights
from efn_compose.store.file_hash import file_sha256

RESULT_SCHEMA = 1
#: What the provenance of a donor says of images that it has learnt from; the weights have, too.
_SEEN = (PRETRAINED_KEY, TRAINED_BEFORE_KEY)


def describe_donors(donors: Sequence[Donor], space: GenomeSpace) -> dict[str, Any]:
    """Return the facts about donors and genome that the report needs; JSON values."""
    return {
        "variant": space.spec.variant,
        "granularity": space.granularity,
        "spec": space.spec.to_json(),
        "loci": space.locus_table,
        "lineages": list(space.lineages),
        **({"ancestor": space.ancestor} if isinstance(space, ShareGenomeSpace) else {}),
        "donors": [
            {
                "name": donor.name,
                "fingerprint": donor.fingerprint,
                "provenance": dict(donor.provenance),
            }
            for donor in donors
        ],
    }


def describe_data(data: DataSet) -> dict[str, Any]:
    """Return the facts about the data set that the report needs; JSON values."""
    counts = {}
    for part in ("train", "validation", "test"):
        labels = getattr(data, f"{part}_labels")
        counts[part] = [int((labels == number).sum()) for number in range(data.classes)]
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "size": data.size,
        "fingerprint": data.fingerprint,
        "counts": counts,
        "left_out": [image.reason for image in data.left_out],
    }


def write_magic_weights(
    path: Path,
    result: RunResult,
    trained_for: TrainedFor | None = None,
    seen: Sequence[SeenImages] = (),
) -> str:
    """Write the winner's starting weights and return the file's SHA-256.

    The file carries the recipe, the donors with licence and fingerprint, the donor of
    every filter, and which blocks are averages. Weights that were trained on carry the
    donors of the filters that their training began with. It holds no time, so that equal runs
    write equal bytes.

    Args:
        path: The file.
        result: The finished run.
        trained_for: The run's classes and image size, written where the weights bring a classifier.
        seen: The images whose labels trained or chose the weights in this run.
    """
    host = result.donors[0]
    provenance: dict[str, Any] = {
        "made_by": "efn_compose.evolve",
        "winner": result.verdict.winner,
        "donors": [
            {
                "name": donor.name,
                "fingerprint": donor.fingerprint,
                "licence": donor.provenance.get("licence", "unknown"),
                "source": donor.provenance.get("source", "unknown"),
                **{key: donor.provenance[key] for key in _SEEN if key in donor.provenance},
            }
            for donor in result.donors
        ],
        "licence": resulting_licence(d.provenance for d in result.donors).name,
        "lineages": [list(names) for names in result.lineages],
        "flags": list(result.flags),
    }
    donor_map = _donor_map(result)
    recipe = {
        **result.winner.to_json(),
        "granularity": result.space.granularity,
        "loci": [
            entry["name"] + (f"*{entry['count']}" if "count" in entry else "")
            for entry in result.space.locus_table
        ],
        "blends": _blends(donor_map),
        **_shares(donor_map),
    }
    kernel = result.weights.get(f"{HEAD_LAYER}/kernel")
    classes = None if kernel is None else int(kernel.shape[-1])
    if classes is not None and trained_for is not None:
        provenance = trained_for.added_to(provenance)
    before = [one for donor in result.donors for one in seen_by(donor.provenance)]
    provenance = with_seen(provenance, [*before, *seen])
    header = WeightHeader(host.spec, host.conventions, classes, provenance, recipe)
    filters = donor_map.per_filter(host.spec) if donor_map is not None else None
    write_weights(path, header, result.weights, donor_map=filters)
    return file_sha256(path)


def describe_result(result: RunResult, weights_name: str, weights_sha256: str) -> dict[str, Any]:
    """Return the verdict for machines; JSON values."""
    donor_map = _donor_map(result)
    return {
        "schema_version": RESULT_SCHEMA,
        "winner": result.verdict.winner,
        "best_donor": result.verdict.best_donor,
        "verdict": result.verdict.words,
        "lineages": [list(names) for names in result.lineages],
        "flags": list(result.flags),
        "validation_difference": _difference(result.verdict.validation),
        "test_difference": _difference(result.verdict.test),
        "arms": {
            name: {
                "validation_loss": list(arm.validation_loss),
                "test_loss": list(arm.test_loss),
                **{f"test_{key}": list(values) for key, values in (arm.test_scores or {}).items()},
            }
            for name, arm in result.arms.items()
        },
        "recipe": result.winner.to_json(),
        "donor_map": dict(donor_map.segments) if donor_map is not None else None,
        "blends": _blends(donor_map),
        **_shares(donor_map),
        "is_start": result.start is not None,
        "noise": {
            "arm": result.noise.arm,
            "losses": list(result.noise.losses),
            "deviation": result.noise.deviation,
        },
        "evaluations": result.evaluations,
        "seconds": result.seconds,
        "generation_effects": list(result.generation_effects),
        "weights": weights_name,
        "weights_sha256": weights_sha256,
    }


def _donor_map(result: RunResult) -> DonorMap | None:
    """Return where every part comes from; of weights that trained on, where they began."""
    return result.start or result.winner.donor_map(result.space)


def _blends(donor_map: DonorMap | None) -> dict[str, dict[str, float]]:
    """Return second donor and its share of each block that is an average; JSON values."""
    blends = donor_map.blends if donor_map is not None else {}
    return {name: dataclasses.asdict(blend) for name, blend in blends.items()}


def _shares(donor_map: DonorMap | None) -> dict[str, Any]:
    """Return the shares of each segment that is made of them; nothing where there is none."""
    found = described_shares(donor_map)
    return {"shares": found} if found else {}


def _difference(difference: Difference | None) -> dict[str, float] | None:
    return None if difference is None else dataclasses.asdict(difference)
