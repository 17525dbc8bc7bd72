"""Shared fixtures; makes torchvision importable beside a CPU build of torch."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# One thread each: tests start processes of their own, two cores are all there may be, and
# executors promise equal bits for equal numbers of threads only.
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_variable, "1")


def _declare_torchvision_operators() -> list[object]:
    """Declare two operator schemas without which a CUDA-built torchvision fails at import."""
    try:
        import torch
    except ImportError:
        return []
    if hasattr(torch.ops.torchvision, "nms"):
        return []
    library = torch.library.Library("torchvision", "DEF")
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for operator in ("nms", "qnms"):
        library.define(operator + schema)
    return [library]


_TORCHVISION_LIBRARY: list[object] = []


def load_torchvision_oracle() -> None:
    """Make `import torchvision`, `timm` and `transformers` work; call before importing them."""
    if not _TORCHVISION_LIBRARY:
        _TORCHVISION_LIBRARY.extend(_declare_torchvision_operators())
