"""Arguments that several verbs declare alike."""

import argparse
from collections.abc import Mapping

from efn_compose.errors import ConfigError

#: By flag: the setting it stands for, "section.key"; the name of its value; its help text.
SettingFlags = Mapping[str, tuple[str, str, str]]
#: What a source may be, as `efn_compose.data.options` has it; that folder is not imported for a help text.
SOURCES = "digits, fashion_mnist, or KIND:PATH (folder, csv, npz, tfrecord, parquet, tar)"
#: `--address`, alike in all verbs whose work a cluster can do.
ADDRESS = ("executor.address", "HOST:PORT", "a running Ray cluster; auto finds one here")


def add_output(
    parser: argparse.ArgumentParser, help: str, *, metavar: str = "FILE", required: bool = False
) -> None:
    """Declare `-o`, `--output`."""
    parser.add_argument("-o", "--output", required=required, metavar=metavar, help=help)


def add_setting_flags(parser: argparse.ArgumentParser, flags: SettingFlags) -> None:
    """Declare flags that stand for settings; `--output` is also `-o`."""
    for flag, (setting, metavar, help) in flags.items():
        names = ["-o", f"--{flag}"] if flag == "output" else [f"--{flag}"]
        parser.add_argument(*names, dest=setting, metavar=metavar, help=help)


def settings_given(options: argparse.Namespace, flags: SettingFlags) -> list[str]:
    """Return the settings whose flags were given, as `--set` takes them.

    Example:
        >>> flags = {"size": ("data.size", "N", "pixels")}
        >>> settings_given(argparse.Namespace(**{"data.size": "64"}), flags)
        ['data.size=64']
    """
    values = {setting: getattr(options, setting) for setting, _, _ in flags.values()}
    return [f"{setting}={value}" for setting, value in values.items() if value is not None]


def add_overrides(
    parser: argparse.ArgumentParser, help: str, *, metavar: str = "SECTION.KEY=VALUE"
) -> None:
    """Declare `--set`, which takes several settings and may be repeated."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar=metavar,
        nargs="+",
        action="extend",
        default=[],
        help=help,
    )


def add_run_arguments(
    parser: argparse.ArgumentParser, flags: SettingFlags, *, dry_run: str, overrides: str
) -> None:
    """Declare what every verb with a configuration and a run folder takes.

    Args:
        parser: Of the verb.
        flags: Those that stand for settings.
        dry_run: Help of `--dry-run`.
        overrides: Help of `--set`.
    """
    parser.add_argument("config", nargs="?", help="TOML file; flags override it")
    add_setting_flags(parser, flags)
    add_resume(parser)
    add_dry_run(parser, dry_run)
    add_overrides(parser, overrides)


def refuse_resumed_dry_run(options: argparse.Namespace) -> None:
    """Refuse `--dry-run` together with `--resume`.

    Raises:
        ConfigError: Both were given.
    """
    if options.dry_run and options.resume:
        raise ConfigError("--dry-run and --resume exclude each other.")


def add_seed(parser: argparse.ArgumentParser, help: str, *, default: int = 0) -> None:
    """Declare `--seed`, a whole number from 0."""
    parser.add_argument(
        "--seed", type=_seed, default=default, metavar="N", help=f"{help}, default: %(default)s"
    )


def _seed(word: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more; received {word!r}")
    return int(word)


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Declare `--resume`."""
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")


def add_dry_run(parser: argparse.ArgumentParser, help: str) -> None:
    """Declare `--dry-run`."""
    parser.add_argument("--dry-run", action="store_true", help=help)


def add_relay(parser: argparse.ArgumentParser, *, hours: bool = True) -> None:
    """Declare `--parcel`, and `--hours` where the verb has none of another meaning."""
    parser.add_argument(
        "--parcel", metavar="FILE", help="hand the run on: write it to this file at the end"
    )
    if hours:
        parser.add_argument(
            "--hours", type=float, default=0.0, metavar="H", help="stop within H hours; 0: never"
        )
