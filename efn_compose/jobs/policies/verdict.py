"""The verdict over a found policy, and the file that training reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from efn_compose.evolve.verdict.verdict import Difference, paired_difference
from efn_compose.jobs.policies.expected import Measured
from efn_compose.train.augment.policies.written import parse_policy, policy_text


@dataclass(frozen=True)
class PolicyVerdict:
    """A found policy beside TrivialAugment.

    Args:
        found: The policy, written out.
        loss: Found minus TrivialAugment, paired over fresh trainings, in nats.
        accuracy: The same of the accuracy; higher is better.
        trainings: Of either policy.
        measured: Loss and change on held-out images by what was done to them: "as they are",
            "under the found policy", "under TrivialAugment".
    """

    found: str
    loss: Difference
    accuracy: Difference
    trainings: int
    measured: Mapping[str, Measured]

    @property
    def policy(self) -> str:
        """The policy to train with, as `augment.auto` takes it."""
        return self.found if self.loss.is_clearly_better else "trivial"

    @property
    def words(self) -> str:
        """One sentence."""
        place, written = "does not beat", "TrivialAugment"
        if self.loss.is_clearly_better:
            place, written = "is ahead of", "the found policy"
        elif self.loss.is_clearly_worse:
            place = "is behind"
        return (
            f"The found policy {place} TrivialAugment over {self.trainings} fresh trainings of "
            f"either, so {written} is written: loss {self.loss.mean:+.4f} ± "
            f"{self.loss.standard_error:.4f}, accuracy {100 * self.accuracy.mean:+.1f} ± "
            f"{100 * self.accuracy.standard_error:.1f} points."
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "policy": self.policy,
            "found": self.found,
            "words": self.words,
            "loss": asdict(self.loss),
            "accuracy": asdict(self.accuracy),
            "trainings": self.trainings,
            "held_out": {name: asdict(part) for name, part in self.measured.items()},
        }

    def to_toml(self) -> str:
        """Return the policy file: what was measured as comments, and the section that is read."""
        held_out = [
            f"# {name}: loss {part.loss:.4f}, mean change of a pixel {part.change:.1f} of 255"
            for name, part in self.measured.items()
        ]
        lines = ["# Written by `efn-compose policy`.", f"# {self.words}"]
        lines += ["# Held-out images, asked of networks that were not trained on them:", *held_out]
        found = policy_text(parse_policy(self.found), "\n")
        if self.policy == self.found:
            section = f'auto = """\n{found}\n"""'
        else:
            commented = "\n".join(f"#   {line}" for line in found.splitlines())
            lines.append(f"# The found policy, which is not used:\n{commented}")
            section = 'auto = "trivial"'
        lines.append("# Each line of a policy: operation, probability, strength in its unit.")
        return "\n".join([*lines, "[augment]", section]) + "\n"


def give_verdict(
    found: str,
    scores: Sequence[Mapping[str, float]],
    trivial: Sequence[Mapping[str, float]],
    measured: Mapping[str, Measured],
) -> PolicyVerdict:
    """Compare a found policy with TrivialAugment.

    Args:
        found: The policy, written out.
        scores: Of fresh trainings under it, "loss" and "accuracy".
        trivial: Of trainings under TrivialAugment with the same seeds, in the same order.
        measured: See `PolicyVerdict`.
    """

    def difference(score: str) -> Difference:
        return paired_difference([row[score] for row in scores], [row[score] for row in trivial])

    return PolicyVerdict(found, difference("loss"), difference("accuracy"), len(scores), measured)
