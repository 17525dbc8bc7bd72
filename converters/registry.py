"""The dialects by name, imported when first asked for."""

import importlib
from collections.abc import Iterator, Mapping

from efn_compose.checkpoints.dialects.dialect import Dialect

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
        return iter(DIALECT_NAMES)

    def __len__(self) -> int:
        return len(DIALECT_NAMES)


CONVERTERS: Mapping[str, Dialect] = _Converters()
