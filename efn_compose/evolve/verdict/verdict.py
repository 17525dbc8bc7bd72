"""The verdict: does anything beat the best donor, by how much, and how sure is that?"""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COMPOSED = "composed"
AVERAGE = "uniform_average"
PLAIN_NETWORK = "trained"
PLAIN_AVERAGE = "trained_average"
LATEST_STATE = "latest_state"
CONTROL = "random_search"
#: Contestants made from donors, with the names that people read.
RIVALS = {
    PLAIN_NETWORK: "the best donor plainly trained",
    PLAIN_AVERAGE: "the average along the best donor plainly trained",
    LATEST_STATE: "the latest state of the same training",
}
#: Contestants, finalists, siblings, and trained networks that stand among the donors.
_MADE_IN_A_RUN = re.compile(
    rf"{COMPOSED}|{AVERAGE}|{CONTROL}\d*|finalist\d+|.+_sibling\d+|{PLAIN_AVERAGE}|{LATEST_STATE}"
    rf"|{PLAIN_NETWORK}(_generation\d+)?|line\d+_generation\d+|generation\d+_(mean|member\d+)"
)


def is_reserved(name: str) -> bool:
    """Return whether a search gives a name to something that it makes, so that no donor may have it.

    Example:
        >>> is_reserved("composed"), is_reserved("line0_generation3"), is_reserved("lite1")
        (True, True, False)
    """
    return _MADE_IN_A_RUN.fullmatch(name) is not None


def reference_kind(name: str) -> str:
    """Return a description of the contestant that others are compared with.

    Example:
        >>> reference_kind("lite1"), reference_kind("latest_state")
        ('best donor', 'best rival')
    """
    return "best rival" if name in RIVALS else "best donor"


def rival_title(name: str) -> str:
    """Return the same in a sentence.

    Example:
        >>> rival_title("lite1"), rival_title("trained")
        ('the best donor, lite1', 'the best donor plainly trained')
    """
    return RIVALS.get(name, f"the best donor, {name}")


@dataclass(frozen=True)
class Arm:
    """One contestant of the finals, run on the same fresh seeds as all others.

    Args:
        name: Donor name, "composed" or "uniform_average".
        validation_loss: One per seed; what choices are made on.
        test_loss: One per seed; only reported. Empty where not scored.
        test_scores: Further metrics on the test split by name, one per seed.
    """

    name: str
    validation_loss: tuple[float, ...]
    test_loss: tuple[float, ...] = ()
    test_scores: Mapping[str, tuple[float, ...]] | None = None

    @property
    def mean(self) -> float:
        """Mean validation loss."""
        return statistics.fmean(self.validation_loss)


@dataclass(frozen=True)
class Difference:
    """A paired difference of losses over the same seeds; negative means the first is better.

    Args:
        mean: Mean difference.
        standard_error: Of that mean.
    """

    mean: float
    standard_error: float

    @property
    def is_clearly_better(self) -> bool:
        """Whether the first wins by more than one standard error."""
        return self.mean < -self.standard_error

    @property
    def is_clearly_worse(self) -> bool:
        """Whether the first loses by more than one standard error."""
        return self.mean > self.standard_error


@dataclass(frozen=True)
class Verdict:
    """The verdict of a run.

    Args:
        winner: Name of the arm whose weights are written.
        best_donor: Name of the donor with the smallest mean validation loss.
        validation: Composed minus best donor on the search-validation split.
        test: The same on the test split.
        words: One paragraph for people.
    """

    winner: str
    best_donor: str
    validation: Difference | None
    test: Difference | None
    words: str


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Return the paired difference of two equally long lists of losses.

    Example:
        >>> paired_difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
        Difference(mean=-1.0, standard_error=0.0)
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return Difference(statistics.fmean(differences), error)


def interval_factor(count: int) -> float:
    """Return how many standard errors a 95 % confidence interval of a mean reaches to each side.

    Student's t with `count` - 1 degrees of freedom.

    Args:
        count: Number of values the mean is of, at least 2.

    Example:
        >>> round(interval_factor(5), 3)
        2.776
    """
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.975))


def choose_challenger(finalists: Sequence[Arm]) -> Arm | None:
    """Return the arm to put up against the donors: smallest mean plus standard error.

    The standard error is over seeds, so luck on one seed counts against it.
    """
    if not finalists:
        return None
    return min(
        finalists, key=lambda arm: (arm.mean + standard_error(arm.validation_loss), arm.name)
    )


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean; 0 for fewer than two values."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def give_verdict(
    challenger: Arm | None, donors: Sequence[Arm], made: Sequence[Arm] = ()
) -> Verdict:
    """Return the verdict over finished arms, test losses included.

    Decided on the search-validation split alone: the challenger must beat the best donor by more
    than one standard error, on seeds that neither the search nor its choice used. The test split
    is only reported.

    Args:
        challenger: The best of what was made of the donors, by other seeds; None if none survived.
        donors: All pure donors that did not fail, at least one.
        made: All that was made of the donors, the challenger among them: the best finalist, the
            uniform average of all donors, the best of as many random compositions.
    """
    best = min(donors, key=lambda arm: (arm.mean, arm.name))
    if challenger is None:
        words = (
            f"No composed candidate survived, so {_title(best)} was written. "
            "The journal says why the others failed."
        )
        return Verdict(best.name, best.name, None, None, words)
    validation = paired_difference(challenger.validation_loss, best.validation_loss)
    has_test = challenger.test_loss and best.test_loss
    test = paired_difference(challenger.test_loss, best.test_loss) if has_test else None
    winner = challenger if validation.is_clearly_better else best
    words = _words(challenger, best, validation, test)
    by_name = {arm.name: arm for arm in made}
    others = [
        by_name[name] for name in (COMPOSED, AVERAGE) if name in by_name and name != challenger.name
    ]
    if COMPOSED in by_name and CONTROL in by_name:
        words += _control_words(by_name[COMPOSED], by_name[CONTROL])
    if best.name in RIVALS:
        real = [arm for arm in donors if arm.name not in RIVALS]
        others += sorted(real, key=lambda arm: (arm.mean, arm.name))[:1]
    words += "".join(_rival_words(winner, arm) for arm in others)
    return Verdict(winner.name, best.name, validation, test, words)


def _control_words(composed: Arm, control: Arm) -> str:
    """Return what the search was worth beside random draws of the same encoding."""
    parts = [("search-validation", composed.validation_loss, control.validation_loss)]
    if composed.test_loss and control.test_loss:
        parts.append(("test", composed.test_loss, control.test_loss))
    found = [(part, paired_difference(first, second)) for part, first, second in parts]
    values = " and ".join(
        f"{change.mean:+.4f} ± {change.standard_error:.4f} on {part}" for part, change in found
    )
    return f" The search's best relative to the best of as many random compositions: loss {values}."


def _title(arm: Arm) -> str:
    titles = {
        COMPOSED: "the composed weights",
        AVERAGE: "the uniform average of all donors",
        CONTROL: "the best random composition",
    }
    comma = "" if arm.name in RIVALS else ","
    return titles.get(arm.name, f"{rival_title(arm.name)}{comma}")


def _words(challenger: Arm, best: Arm, validation: Difference, test: Difference | None) -> str:
    seeds = len(challenger.validation_loss)
    change = f"{validation.mean:+.4f} ± {validation.standard_error:.4f}"
    title, is_donor = _title(challenger), best.name not in RIVALS
    it = "the donor" if is_donor else "it"
    if not validation.is_clearly_better:
        return (
            f"Nothing beat {_title(best)} by more than one standard error, so "
            f"{'the best donor' if is_donor else 'that'} was written. The closest challenger was "
            f"{title}: validation loss {change} relative to {it}, over {seeds} fresh seeds."
        )
    words = (
        f"{title.capitalize()} beat {_title(best)} on search-validation: loss {change} relative to "
        f"{it}, over {seeds} fresh seeds"
    )
    if test is None:
        return words + "."
    says = {-1: "confirms it", 1: "contradicts it", 0: "leaves it open"}[direction(test, seeds)]
    return f"{words}. The test split, which the search never saw, {says}: {_on_test(test, seeds)}."


def direction(found: Difference, seeds: int) -> int:
    """Return -1 or 1 where the 95 % interval of a difference is on one side of 0, otherwise 0.

    Args:
        found: The mean over seeds.
        seeds: Their number.

    Example:
        >>> direction(Difference(-0.1, 0.02), 5), direction(Difference(-0.1, 0.05), 5)
        (-1, 0)
    """
    reach = interval_factor(seeds) * found.standard_error
    return (found.mean > reach) - (found.mean < -reach)


def _on_test(test: Difference, seeds: int) -> str:
    """Return a difference on the test split, and whether it may be chance."""
    is_open = " (95 % interval around 0)" if direction(test, seeds) == 0 else ""
    return f"{test.mean:+.4f} ± {test.standard_error:.4f}{is_open}"


def _rival_words(written: Arm, rival: Arm) -> str:
    if not (written.test_loss and rival.test_loss):
        return ""
    found = paired_difference(written.test_loss, rival.test_loss)
    seeds = len(written.test_loss)
    relation = {-1: "better than", 1: "worse than", 0: "not clearly different from"}
    return (
        f" On test, the written weights are {relation[direction(found, seeds)]} "
        f"{_title(rival).rstrip(',')}: {_on_test(found, seeds)}."
    )
