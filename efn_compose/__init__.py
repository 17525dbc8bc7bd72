"""Convert, nest and compose EfficientNet weights, and evolve better starting weights.

Importing this package is cheap: names are resolved when first used, and neither
TensorFlow nor Ray is imported before something needs it.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

#: Public names and the module each lives in.
_PUBLIC = {
    "Donor": "efn_compose.donors",
    "GenomeSpace": "efn_compose.compose",
    "Recipe": "efn_compose.compose",
    "absorb_statistics": "efn_compose.statistics.absorb",
    "align": "efn_compose.donors.align",
    "arch_spec": "efn_compose.arch",
    "convert": "efn_compose.conversion",
    "direct_sum": "efn_compose.nesting",
    "export": "efn_compose.conversion",
    "harmonise": "efn_compose.donors.harmonise",
    "inspect": "efn_compose.conversion",
    "lineages": "efn_compose.donors.lineage",
    "load_donor": "efn_compose.donors",
    "load_donors": "efn_compose.jobs.search.preparation",
    "nest": "efn_compose.nesting",
    "rank": "efn_compose.analysis.rank",
    "seed": "efn_compose.seeding",
    "shrink": "efn_compose.nesting",
}

#: Folders that are verbs too.
_CALLABLE_PACKAGES = ("compose", "evolve", "train")

__all__ = ["__version__", *_CALLABLE_PACKAGES, *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _CALLABLE_PACKAGES:
        return importlib.import_module(f"efn_compose.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'efn_compose' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
