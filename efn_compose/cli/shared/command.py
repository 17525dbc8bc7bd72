"""`efn-compose VERB …`: choosing the verb, and what an error looks like."""

import argparse
import difflib
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import efn_compose
from efn_compose.cli.shared.any_terminal import print_anywhere
from efn_compose.cli.shared.output import Output
from efn_compose.errors import CacheWarning, ConfigError, EfnComposeError, UncheckedFileWarning
from efn_compose.quiet_import import import_tensorflow_quietly
from efn_compose.settings.home import with_home
from efn_compose.settings.renamed import OldSettingWarning

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
#: What shells give for a program ended by Ctrl-C: 128 + SIGINT.
EXIT_INTERRUPTED = 130


class VerbModule(Protocol):
    """What the module of a verb defines."""

    #: A command that works, for help and documentation.
    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's arguments; `--json` and `--quiet` are there."""

    def run(self, options: argparse.Namespace, output: Output) -> int | None:
        """Do it and say so; return an exit code, or None for 0. Deliberate errors are raised."""


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Args:
        module: Imported when the verb is used: a `VerbModule`.
        summary: One line about it.
    """

    module: str
    summary: str


VERBS: dict[str, Verb] = {
    "evolve": Verb("efn_compose.cli.evolve", "search for better starting weights for your data"),
    "train": Verb("efn_compose.cli.train", "train networks from a weight file, on folds and seeds"),
    "predict": Verb("efn_compose.cli.predict", "predict new images with one or many networks"),
    "study": Verb("efn_compose.cli.study", "train a grid of networks and settings, with a verdict"),
    "pretrain": Verb(
        "efn_compose.cli.pretrain", "train a donor on images without labels, with a verdict"
    ),
    "ensemble": Verb("efn_compose.cli.ensemble", "make one submission of finished trainings"),
    "relay": Verb("efn_compose.cli.relay", "go on with a run that somebody else began"),
    "pipeline": Verb("efn_compose.cli.pipeline", "run a chain of these verbs, to a submission"),
    "convert": Verb("efn_compose.cli.convert", "turn another library's checkpoint into a donor"),
    "export": Verb("efn_compose.cli.export", "write a donor for another library"),
    "inspect": Verb(
        "efn_compose.cli.inspect", "describe a weight file or checkpoint, or compare two"
    ),
    "nest": Verb(
        "efn_compose.cli.nest", "put a network into a larger one; its function stays the same"
    ),
    "direct-sum": Verb("efn_compose.cli.direct_sum", "put networks side by side into a larger one"),
    "join": Verb("efn_compose.cli.join", "put networks side by side in one Keras model"),
    "shrink": Verb("efn_compose.cli.shrink", "cut a network to a smaller one"),
    "attach": Verb("efn_compose.cli.attach", "put a decoder on a network: a U-Net"),
    "detach": Verb("efn_compose.cli.detach", "take the decoder off a U-Net"),
    "report": Verb(
        "efn_compose.cli.report", "draw a run's report again, follow a run, compare runs"
    ),
    "align": Verb("efn_compose.cli.align", "write independent donors in one order of channels"),
    "absorb": Verb("efn_compose.cli.absorb", "rewrite a donor's BatchNorm for your images"),
    "rank": Verb("efn_compose.cli.rank", "find the donor that suits a data set, without training"),
    "soup": Verb("efn_compose.cli.soup", "average several fine-tunings of one checkpoint"),
    "folds": Verb("efn_compose.cli.folds", "cut a data set into folds that are alike"),
    "policy": Verb("efn_compose.cli.policy", "find an augmentation policy, with a verdict"),
    "augment": Verb("efn_compose.cli.augment", "draw your images as training will see them"),
    "cache": Verb("efn_compose.cli.cache", "list or clear the cache of decoded images"),
    "doctor": Verb("efn_compose.cli.doctor", "check whether this machine can run a search"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Verb and its arguments; default those of the process.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C or SIGTERM.

    Example:
        >>> main(["nest", "b0.h5", "--into", "b5", "-o", "b5.h5"])  # doctest: +SKIP
        0
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    print_anywhere()
    import_tensorflow_quietly()
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; keep Python from saying so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except KeyboardInterrupt:
        # Before the verb was at work: it says more itself.
        sys.stderr.write("efn-compose: stopped.\n")
        return EXIT_INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return EXIT_DONE if arguments else EXIT_USAGE
    if arguments[0] == "--version":
        sys.stdout.write(f"efn-compose {efn_compose.__version__}\n")
        return EXIT_DONE
    name, *rest = map(with_home, arguments)
    if name not in VERBS:
        sys.stderr.write(_unknown_verb(name))
        return EXIT_USAGE
    module = load_verb(name)
    options = verb_parser(name, module).parse_args(rest)
    output = Output(as_json=options.json, is_quiet=options.quiet)
    return _run_safely(module.run, options, output)


def load_verb(name: str) -> VerbModule:
    """Import the module of a verb."""
    module: Any = importlib.import_module(VERBS[name].module)
    verb: VerbModule = module
    return verb


def verb_parser(name: str, module: VerbModule) -> argparse.ArgumentParser:
    """Return the parser of a verb: its own arguments, `--json` and `--quiet`."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the result as JSON")
    common.add_argument("--quiet", action="store_true", help="print nothing but errors")
    summary, more = VERBS[name].summary, (module.__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser(
        prog=f"efn-compose {name}",
        parents=[common],
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".rstrip(),
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _run_safely(
    run: Callable[[argparse.Namespace, Output], int | None],
    options: argparse.Namespace,
    output: Output,
) -> int:
    """Run a verb; deliberate errors become one message, anything else is a bug's traceback."""
    _stop_like_ctrl_c()
    try:
        with _old_inputs_as_notes(output):
            code = run(options, output) or EXIT_DONE
        sys.stdout.flush()
        return code
    except EfnComposeError as error:
        output.error(type(error).__name__, str(error))
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        output.error(type(error).__name__, f"{where}{error.strerror or error}.")
        return EXIT_FAILED
    except KeyboardInterrupt:
        words = getattr(options, "on_interrupt", "stopped.")
        if getattr(options, "dry_run", False):
            words = "stopped. Nothing was written."
        output.error("Interrupted", words)
        return EXIT_INTERRUPTED


@contextmanager
def _old_inputs_as_notes(output: Output) -> Iterator[None]:
    """Say warnings of old settings and files, and of the cache, in one line each, without a place."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, OldSettingWarning | UncheckedFileWarning | CacheWarning):
            output.note(f"note: {message}")
        else:
            usual(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", OldSettingWarning)
        warnings.simplefilter("default", UncheckedFileWarning)
        warnings.showwarning = show
        yield


def _stop_like_ctrl_c() -> None:
    """Let SIGTERM, which batch systems send first, end the command as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def _overview() -> str:
    width = max(len(name) for name in VERBS)
    verbs = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: efn-compose VERB …\n\n"
        "Convert, nest and compose EfficientNet weights, and evolve better starting weights.\n\n"
        f"verbs:\n{verbs}\n\n"
        "efn-compose VERB --help explains a verb; --version prints the version.\n"
        "Every verb takes --json and --quiet. Exit codes: 0 done, 1 failed, 2 wrong usage.\n\n"
        "example:\n  efn-compose evolve\n"
    )


def _unknown_verb(name: str) -> str:
    close = difflib.get_close_matches(name.replace("_", "-"), VERBS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"efn-compose: {name!r} is no verb.{hint} Verbs: {', '.join(VERBS)}. "
        "See efn-compose --help.\n"
    )
