"""Three fine-tunings of one base checkpoint: its weights with noise."""

import numpy as np
from random_donors import random_donor

BASE = random_donor(seed=0)


def tuned(seed, noise=0.1, base=BASE):
    rng = np.random.default_rng(seed)
    tensors = {
        name: (
            values * np.exp(noise * rng.normal(size=values.shape))
            if name.endswith("variance")
            else values + noise * rng.normal(size=values.shape)
        ).astype(np.float32)
        for name, values in base.tensors.items()
    }
    return base.replace(name=f"tuned{seed}", tensors=tensors)


DONORS = [tuned(1), tuned(2), tuned(3)]
KERNEL, MEAN, VARIANCE = "stem_conv/kernel", "stem_bn/moving_mean", "stem_bn/moving_variance"


def stacked(name, donors=DONORS):
    return np.stack([donor.tensors[name].astype(np.float64) for donor in donors])
