"""Donors that the command line is given: narrow B networks of five classes."""

import numpy as np

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.donors import Donor

NANO, WIDE = "b-w0.5-d0.3", "b-w1.4-d0.3"


def random_donor(seed: int = 0) -> Donor:
    rng = np.random.default_rng(seed)
    spec = arch_spec(NANO)
    tensors = {}
    for tensor in inventory(spec, 5):
        if tensor.role in ("moving_variance", "gamma"):
            values = rng.uniform(0.5, 1.5, tensor.shape)
        elif tensor.role in ("kernel", "depthwise_kernel"):
            # Wide enough that the signal lives: verification needs an output that varies.
            fan_in = np.prod(tensor.shape[:2] if "depthwise" in tensor.role else tensor.shape[:-1])
            values = rng.normal(0, np.sqrt(4 / fan_in), tensor.shape)
        else:
            values = rng.normal(0, 0.1, tensor.shape)
        tensors[tensor.name] = values.astype(np.float32)
    return Donor(f"nano{seed}", spec, default_conventions(spec), tensors)
