"""The dialects by name, imported when first asked for."""

import importlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from efn_compose.checkpoints.dialect import Dialect

#: Names for `--dialect`; each is a module of this package that defines `DIALECT`.
DIALECT_NAMES: tuple[str, ...] = (
    "timm",
    "torchvision",
    "lukemelas",
    "lite",
    "geffnet",
    "transformers",
    "nvidia",
    "kuangliu",
    "tf_official",
    "keras_applications",
    "qubvel",
    "keras_efficientnet_v2",
    "keras_cv",
    "keras_hub",
    "onnx",
    "canonical",
)


class _Converters(Mapping[str, Dialect]):
    """Dialects by name."""

    def __getitem__(self, name: str) -> Dialect:
        if name not in DIALECT_NAMES:
            raise KeyError(name)
        return importlib.import_module(f"converters.{name}").DIALECT

    def __iter__(self) -> Iterator[str]:
        return iter(name for name in DIALECT_NAMES if find_spec(f"converters.{name}"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


CONVERTERS: Mapping[str, Dialect] = _Converters()
