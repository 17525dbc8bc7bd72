"""The `[policy]` section, and all sections of a search for a policy together."""

from dataclasses import dataclass, field

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.settings.declare import setting
from efn_compose.store.options import RunOptions


@dataclass(frozen=True)
class PolicyOptions:
    """The `[policy]` section.

    Args:
        networks: The run folder of trainings whose networks score policies; or trainings in it.
            Images, folds, first weights and recipe are those of that run.
        evaluations: Policies that the search scores.
        sub_policies: Pairs of steps of a policy; no two of them have the same two operations.
        images: Held-out images that score policies, at most; 0: all of them.
        change: Least mean change of a pixel by each sub-policy, as a share of that by
            TrivialAugment. At 0 the policy that changes nothing is the best one.
        seeds: Fresh trainings of either policy for the verdict.
        epochs: Of these trainings; 0: those of the run.

    Example:
        >>> PolicyOptions().sub_policies
        10
    """

    networks: tuple[str, ...] = setting((), "run folder of trainings, or trainings in it")
    evaluations: int = setting(2000, "policies that the search scores", minimum=1)
    sub_policies: int = setting(10, "pairs of steps of a policy", minimum=1, maximum=50)
    images: int = setting(500, "held-out images that score policies; 0: all", minimum=0)
    change: float = setting(
        0.5, "least change of pixels, as a share of TrivialAugment's", minimum=0.0, maximum=1.5
    )
    seeds: int = setting(5, "fresh trainings of either policy", minimum=2)
    epochs: int = setting(0, "epochs of these trainings; 0: the run's", minimum=0)


@dataclass(frozen=True)
class PolicyConfig:
    """Everything that a search for a policy is told; the fields are the sections of its TOML file."""

    run: RunOptions = field(default_factory=RunOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
