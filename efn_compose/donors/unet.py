"""A decoder on a donor: drawn, put on, and taken for one network with it.

A weight file holds a decoder as a further part, so that whoever knows no decoders sees a network
with a classifier. `joined` makes one network of both. Its tables hold the decoder's tensors and
channel groups, and every verb that works by the tables carries the decoder along.
"""

from collections.abc import Mapping

import numpy as np

from efn_compose.arch import ArchSpec, DecoderSpec, TensorSpec, inventory
from efn_compose.arch.decoder import OUTPUT_LAYER
from efn_compose.donors.donor import Donor
from efn_compose.errors import ConfigError, FurtherPartError
from efn_compose.store.weights.parts import Part, PartHeader

#: Name of the part.
DECODER = "decoder"


def decoder_tensors(donor: Donor, decoder: DecoderSpec) -> tuple[TensorSpec, ...]:
    """Return the tensors that a decoder on a donor has, in order."""
    own = len(inventory(donor.spec))
    return inventory(donor.spec.with_decoder(decoder))[own:]


def attached(donor: Donor, decoder: DecoderSpec, seed: int) -> Donor:
    """Return a donor with a fresh decoder; all it had stays as it is.

    Kernels are drawn for what they read together with their skip (He et al. 2015,
    arXiv:1502.01852); biases begin at 0.

    Args:
        donor: Any donor without a decoder.
        decoder: What to put on it.
        seed: Decides the draw.

    Raises:
        FurtherPartError: The donor has a decoder.

    Example:
        >>> attached(donor, DecoderSpec("mirror", outputs=2), seed=1).part_names  # doctest: +SKIP
        ('backbone', 'head', 'decoder')
    """
    if DECODER in donor.parts:
        raise FurtherPartError(
            f"{donor.name} has a decoder already. Take it off first: efn-compose detach FILE, or "
            f"donor.without_part({DECODER!r})."
        )
    part = Part(drawn_decoder(donor, decoder, seed), decoder.to_json())
    return donor.replace(parts={**donor.parts, DECODER: part})


def drawn_decoder(donor: Donor, decoder: DecoderSpec, seed: int) -> dict[str, np.ndarray]:
    """Return fresh weights of a decoder by canonical name.

    Args:
        donor: Whose streams it reads.
        decoder: What it is.
        seed: Decides the draw.
    """
    generator = np.random.default_rng([seed, 5])
    tensors = decoder_tensors(donor, decoder)
    fans = _fans(tensors)
    drawn = {}
    for tensor in tensors:
        if tensor.role in ("kernel", "depthwise_kernel"):
            gain = 1.0 if tensor.layer == OUTPUT_LAYER else 2.0
            spread = np.sqrt(gain / fans[tensor.name])
            values = generator.standard_normal(tensor.shape) * spread
        else:
            values = np.full(tensor.shape, float(tensor.role in ("gamma", "moving_variance")))
        drawn[tensor.name] = values.astype(np.float32)
    return drawn


def _fans(tensors: tuple[TensorSpec, ...]) -> dict[str, int]:
    """Return how many values each kernel's output sums; a kernel and its skip's sum together."""
    fans = {}
    for tensor in tensors:
        if tensor.role == "depthwise_kernel":
            fans[tensor.name] = tensor.size // tensor.shape[2]
        elif tensor.role == "kernel":
            fans[tensor.name] = tensor.size // tensor.shape[3]
    for name in [name for name in fans if name.endswith("_skip_conv/kernel")]:
        below = name.replace("_skip_conv/", "_conv/")
        fans[name] = fans[below] = fans[name] + fans[below]
    return fans


def decoder_of(donor: Donor) -> DecoderSpec:
    """Return what a donor's decoder is.

    Raises:
        FurtherPartError: It has none, or one that this version cannot build.
    """
    if DECODER not in donor.parts:
        raise FurtherPartError(
            f"{donor.name} has no decoder; it has {', '.join(donor.part_names)}. "
            "Put one on it: efn-compose attach FILE -o UNET.h5"
        )
    part = donor.parts[DECODER]
    try:
        decoder = DecoderSpec(**part.settings)
    except (TypeError, ConfigError) as error:
        raise FurtherPartError(f"{donor.name}: its decoder cannot be built: {error}") from None
    expected = {tensor.name: tensor.shape for tensor in decoder_tensors(donor, decoder)}
    if {name: values.shape for name, values in part.tensors.items()} != expected:
        raise FurtherPartError(
            f"{donor.name}: the tensors of its decoder are not those of {part.settings}."
        )
    return decoder


def chosen_decoder(donor: Donor, kind: str, outputs: int) -> DecoderSpec:
    """Return the decoder that a training builds: the donor's own, or a new one.

    Args:
        donor: With or without a decoder.
        kind: "classic", "mirror", or "auto": the donor's own kind, "classic" where it has none.
        outputs: Channels that it puts out.

    Raises:
        FurtherPartError: The donor has a decoder of another kind.
    """
    if DECODER not in donor.parts:
        return DecoderSpec("mirror" if kind == "mirror" else "classic", outputs)
    own = decoder_of(donor)
    if kind not in ("auto", own.kind):
        raise FurtherPartError(
            f"{donor.name} has a {own.kind} decoder, and objective.decoder is {kind!r}. Set it to "
            "'auto' to train the file's own, or take that off: efn-compose detach FILE -o OUT.h5"
        )
    return DecoderSpec(own.kind, outputs, own.skips, own.repeats)


def joined(donor: Donor) -> Donor:
    """Return a donor with a decoder as one network: its tables and tensors hold both.

    Raises:
        FurtherPartError: There is no decoder to join.

    Example:
        >>> joined(unet).spec.decoder.kind  # doctest: +SKIP
        'mirror'
    """
    decoder = decoder_of(donor)
    rest = {name: part for name, part in donor.parts.items() if name != DECODER}
    tensors = {**donor.tensors, **donor.parts[DECODER].tensors}
    return donor.replace(spec=donor.spec.with_decoder(decoder), tensors=tensors, parts=rest)


def joined_if_known(donor: Donor) -> Donor:
    """Return `joined` where a donor has a decoder that this version builds, else the donor itself."""
    try:
        return joined(donor)
    except FurtherPartError:
        return donor


def described_decoder(
    spec: ArchSpec, parts: Mapping[str, PartHeader]
) -> tuple[ArchSpec, tuple[str, ...]]:
    """Return a file's network with its decoder, and its parts that are none that this version builds.

    Args:
        spec: The network of the file.
        parts: Its further parts.
    """
    others = tuple(name for name in parts if name != DECODER)
    if DECODER not in parts:
        return spec, others
    try:
        whole = spec.with_decoder(DecoderSpec(**parts[DECODER].settings))
    except (TypeError, ConfigError):
        return spec, tuple(parts)
    expected = {tensor.name: tensor.shape for tensor in inventory(whole)[len(inventory(spec)) :]}
    return (whole, others) if parts[DECODER].shapes == expected else (spec, tuple(parts))


def decoder_header(spec: ArchSpec) -> dict[str, PartHeader]:
    """Return what a weight file says of a network's decoder, {} where it has none."""
    if spec.decoder is None:
        return {}
    own = len(inventory(spec.with_decoder(None)))
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec)[own:]}
    return {DECODER: PartHeader(shapes, spec.decoder.to_json())}


def parted(donor: Donor) -> Donor:
    """Return a donor of `joined` with its decoder as a further part again, as weight files hold it."""
    decoder = donor.spec.decoder
    if decoder is None:
        return donor
    own = donor.spec.with_decoder(None)
    names = {tensor.name for tensor in inventory(own, donor.classes)}
    part = Part(_others(donor.tensors, names), decoder.to_json())
    kept = {name: values for name, values in donor.tensors.items() if name in names}
    return donor.replace(spec=own, tensors=kept, parts={**donor.parts, DECODER: part})


def _others(tensors: Mapping[str, np.ndarray], names: set[str]) -> dict[str, np.ndarray]:
    return {name: values for name, values in tensors.items() if name not in names}
