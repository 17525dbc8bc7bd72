"""The exceptions that efn_compose raises on purpose; everything else is a bug.

A message names the problem, the place, the allowed values, the received value and the
next step. Several problems are collected and raised together, so that one run of the
command shows them all.
"""

from collections.abc import Iterable


class EfnComposeError(Exception):
    """Base of every deliberate error; the command line prints it without a traceback."""


class ConfigError(EfnComposeError):
    """A configuration value or command-line argument cannot be used."""


class DataError(EfnComposeError):
    """A data set is missing, unreadable, or cannot be split as asked."""


class SplitError(DataError):
    """A table cannot be split as asked; the message names the settings of `DataOptions`."""


class CacheWarning(UserWarning):
    """A file of the cache of decoded images was given up, and is made again."""


class UncheckedFileWarning(UserWarning):
    """A weight file of a version before 0.2.0 has no checksums: damage to its values is not found."""


class CheckpointError(EfnComposeError):
    """A checkpoint file cannot be used."""


class UnreadableCheckpointError(CheckpointError):
    """The file is truncated, corrupt, or of a container that no reader knows."""


class ForbiddenPickleError(CheckpointError):
    """The file asks the unpickler for something that is not a tensor."""


class UnsafeCheckpointError(CheckpointError):
    """The file would read other files, exhaust memory, or run code."""


class WeightFileError(CheckpointError):
    """A weight file written by efn_compose is damaged or not one of ours."""


class ConversionError(EfnComposeError):
    """A checkpoint was read but cannot become a donor."""


class AmbiguousCheckpointError(ConversionError):
    """Tensors fit several architectures or conventions; the message lists them."""


class UnmappedTensorError(ConversionError):
    """A tensor of the file has no place in the architecture, or the reverse."""


class InventoryMismatchError(ConversionError):
    """Names or shapes differ from the architecture's inventory; the message is a diff."""


class ParityError(ConversionError):
    """A converted network does not compute the same as its original."""


class NestingError(EfnComposeError):
    """One network cannot be placed inside, beside, or cut out of another."""


class SeedingError(EfnComposeError):
    """Weights do not fit the model that was to receive them."""


class ComposeError(EfnComposeError):
    """Donors cannot be composed."""


class IncompatibleDonorsError(ComposeError):
    """Donors differ in a field that composition needs equal."""


class FurtherPartError(EfnComposeError):
    """Weights have a further part, such as a decoder, that an operation cannot take along."""


class InvalidGenomeError(ComposeError):
    """A genome does not fit its genome space."""


class RunError(EfnComposeError):
    """A run folder cannot be used."""


class RunLockedError(RunError):
    """Another live process works in the run folder."""


class ResumeMismatchError(RunError):
    """The run folder was made with another configuration, donors, or data."""


class EvaluationError(RunError):
    """Too many evaluations failed for the search to mean anything."""


def first_of(lines: Iterable[str], most: int) -> list[str]:
    """Return the first lines of a list, and one more that counts the rest.

    Args:
        lines: One per problem.
        most: How many a message may have.

    Example:
        >>> first_of(["- a", "- b", "- c"], 2), first_of(["- a"], 2)
        (['- a', '- b', '… and 1 more'], ['- a'])
    """
    every = list(lines)
    more = len(every) - most
    return [*every[:most], *([f"… and {more:,} more"] if more > 0 else [])]


def problem_of(name: object, error: Exception) -> str:
    """Return an error as one of several problems, under the name of what it is about.

    Example:
        >>> problem_of("a.h5", ConfigError("a.h5: no such file."))
        '- a.h5: no such file.'
        >>> problem_of("a.h5", ConfigError("too small"))
        '- a.h5: too small'
    """
    words = str(error)
    return f"- {words}" if words.startswith(f"{name}: ") else f"- {name}: {words}"


def describe_problems(summary: str, problems: Iterable[str], next_step: str = "") -> str:
    """Return one message from a summary, a list of problems and the step to take next.

    Example:
        >>> print(describe_problems("b0.pth: 1 problem", ["- missing: stem_conv/kernel"]))
        b0.pth: 1 problem
          - missing: stem_conv/kernel
    """
    lines = [summary, *(f"  {problem}" for problem in problems)]
    if next_step:
        lines.append(f"  {next_step}")
    return "\n".join(lines)
