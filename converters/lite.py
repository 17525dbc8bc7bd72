"""efficientnet-lite-pytorch: Lite0 to Lite4 ported from TensorFlow.

The names are those of `efficientnet_pytorch` without squeeze-and-excite.
"""

from converters.lukemelas import NAMES, has_squeeze_excite, is_lukemelas_family
from efn_compose.arch import ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    return resolved(
        padding="same",
        bn_epsilon=1e-3,
        activation="relu6",
        preprocessing="lite",
        source="all files of efficientnet-lite-pytorch",
    )


DIALECT = Dialect(
    name="lite",
    title="efficientnet-lite-pytorch",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=lambda raw: is_lukemelas_family(raw) and not has_squeeze_excite(raw),
    spec_from=NAMES.spec_from,
    rows=NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
