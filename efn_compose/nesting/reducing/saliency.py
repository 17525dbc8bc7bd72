"""How much a channel matters, judged from the weights alone."""

from collections.abc import Callable

import numpy as np

from efn_compose.arch import ChannelGroup


def weight_saliency(group: ChannelGroup, read: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return a score per channel: strength of its producers times weight of its consumers.

    The strength is the root sum of squares of the channel's gammas, since
    BatchNorm removes every other scale (for squeeze-and-excite units, which have
    none, the norm of the kernel that makes them). The weight is the root sum of
    squares over all kernels that read the channel, relative to each kernel's norm.

    Args:
        group: The channels.
        read: Returns one tensor by canonical name.

    Returns:
        float64 array (channel,), each >= 0.

    Example:
        >>> scores = weight_saliency(channel_groups(donor.spec)["stage2"],
        ...                          donor.tensors.__getitem__)  # doctest: +SKIP
    """
    gammas = np.zeros(group.size)
    kernels = np.zeros(group.size)
    readers = np.zeros(group.size)
    for member in group.members:
        role = member.tensor.role
        if role not in ("gamma", "kernel"):
            continue
        values = np.square(read(member.tensor.name).astype(np.float64))
        per_channel = values.sum(axis=tuple(set(range(values.ndim)) - {member.axis}))
        if role == "gamma":
            gammas += per_channel
        elif member.use == "in":
            readers += per_channel / max(per_channel.sum(), 1e-30)
        else:
            kernels += per_channel / max(per_channel.sum(), 1e-30)
    producers = gammas if gammas.any() else kernels
    return np.sqrt(producers) * np.sqrt(readers if readers.any() else 1.0)
