"""Seeds derived from the run's one seed, so that nothing else is random."""

import functools

import numpy as np

#: Purposes of seeds; part of a seed's derivation, so that two purposes never share one.
PURPOSES = (
    "search", "generation", "noise", "final", "sibling", "partition", "member", "control",
    "policy",
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def derive_seed(run_seed: int, purpose: str, number: int = 0) -> int:
    """Return a seed in [0, 2**31) for a purpose and a number within it.

    Args:
        run_seed: The run's seed, >= 0.
        purpose: One of `PURPOSES`.
        number: Generation, repeat or sibling number, >= 0.

    Example:
        >>> derive_seed(1, "final", 0) == derive_seed(1, "final", 0)
        True
        >>> derive_seed(1, "final", 0) == derive_seed(1, "noise", 0)
        False
    """
    sequence = np.random.SeedSequence([run_seed, PURPOSES.index(purpose), number])
    return int(sequence.generate_state(1)[0] >> 1)
