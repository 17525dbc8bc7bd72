"""Convert, nest and compose EfficientNet weights, and evolve better starting weights.

Importing this package is cheap: names are resolved when first used, and neither
TensorFlow nor Ray is imported before something needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if (
    TYPE_CHECKING
):  # What type checkers and editors see; tests/test_typing.py compares it with _PUBLIC.
    from efn_compose.analysis.rank import rank as rank
    from efn_compose.arch import arch_spec as arch_spec
    from efn_compose.compose import GenomeSpace as GenomeSpace
    from efn_compose.compose import Recipe as Recipe
    from efn_compose.compose.compose import compose as compose
    from efn_compose.conversion import convert as convert
    from efn_compose.conversion import export as export
    from efn_compose.conversion import inspect as inspect
    from efn_compose.donors import Donor as Donor
    from efn_compose.donors import load_donor as load_donor
    from efn_compose.donors.alignment.align import align as align
    from efn_compose.donors.harmonise import harmonise as harmonise
    from efn_compose.donors.lineage import lineages as lineages
    from efn_compose.jobs.cache import cache as cache
    from efn_compose.jobs.decoders import attach as attach
    from efn_compose.jobs.decoders import detach as detach
    from efn_compose.jobs.donor_entries import load_donors as load_donors
    from efn_compose.jobs.ensembles.job import ensemble as ensemble
    from efn_compose.jobs.ensembles.joint import join as join
    from efn_compose.jobs.ensembles.joint import load_joint as load_joint
    from efn_compose.jobs.pipeline.job import pipeline as pipeline
    from efn_compose.jobs.policies.job import policy as policy
    from efn_compose.jobs.predictions.job import predict as predict
    from efn_compose.jobs.predictions.masks import predict_masks as predict_masks
    from efn_compose.jobs.pretraining.job import pretrain as pretrain
    from efn_compose.jobs.search.job import evolve as evolve
    from efn_compose.jobs.soup.job import soup as soup
    from efn_compose.jobs.study.job import study as study
    from efn_compose.jobs.trainings.job import train as train
    from efn_compose.nesting import direct_sum as direct_sum
    from efn_compose.nesting import nest as nest
    from efn_compose.nesting import shrink as shrink
    from efn_compose.seeding import seed as seed
    from efn_compose.statistics.absorb import absorb_statistics as absorb_statistics

__version__ = "0.2.0.dev0"

#: Public names and the module each lives in.
_PUBLIC = {
    "Donor": "efn_compose.donors",
    "GenomeSpace": "efn_compose.compose",
    "Recipe": "efn_compose.compose",
    "absorb_statistics": "efn_compose.statistics.absorb",
    "align": "efn_compose.donors.alignment.align",
    "arch_spec": "efn_compose.arch",
    "attach": "efn_compose.jobs.decoders",
    "cache": "efn_compose.jobs.cache",
    "convert": "efn_compose.conversion",
    "detach": "efn_compose.jobs.decoders",
    "direct_sum": "efn_compose.nesting",
    "ensemble": "efn_compose.jobs.ensembles.job",
    "pipeline": "efn_compose.jobs.pipeline.job",
    "export": "efn_compose.conversion",
    "harmonise": "efn_compose.donors.harmonise",
    "inspect": "efn_compose.conversion",
    "join": "efn_compose.jobs.ensembles.joint",
    "lineages": "efn_compose.donors.lineage",
    "load_donor": "efn_compose.donors",
    "load_joint": "efn_compose.jobs.ensembles.joint",
    "load_donors": "efn_compose.jobs.donor_entries",
    "nest": "efn_compose.nesting",
    "policy": "efn_compose.jobs.policies.job",
    "predict": "efn_compose.jobs.predictions.job",
    "pretrain": "efn_compose.jobs.pretraining.job",
    "predict_masks": "efn_compose.jobs.predictions.masks",
    "rank": "efn_compose.analysis.rank",
    "seed": "efn_compose.seeding",
    "shrink": "efn_compose.nesting",
    "soup": "efn_compose.jobs.soup.job",
    "study": "efn_compose.jobs.study.job",
}

#: Folders that are verbs too.
_CALLABLE_PACKAGES = ("compose", "evolve", "train")

__all__ = ["__version__", *_CALLABLE_PACKAGES, *_PUBLIC]  # noqa: PLE0604 - all are strings

if not TYPE_CHECKING:  # A checker that saw this function would take every misspelt name for Any.

    def __getattr__(name: str) -> Any:
        if name in _CALLABLE_PACKAGES:
            return importlib.import_module(f"efn_compose.{name}")
        if name not in _PUBLIC:
            raise AttributeError(f"module 'efn_compose' has no attribute {name!r}")
        return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
