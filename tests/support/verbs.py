"""A verb of the command line in this process: with its exceptions, or as a shell sees it."""

import contextlib
import io
import subprocess
from pathlib import Path

from efn_compose.cli import main
from efn_compose.cli.shared.command import load_verb, verb_parser
from efn_compose.cli.shared.output import Output


def run_verb(name: str, *words: object) -> int:
    """Run a verb as the command line does, but let deliberate errors through; return the exit code."""
    module = load_verb(name)
    options = verb_parser(name, module).parse_args([str(word) for word in words])
    return module.run(options, Output(as_json=options.json, is_quiet=options.quiet)) or 0


def call_command(
    *arguments: object, folder: Path | str = "."
) -> "subprocess.CompletedProcess[str]":
    """Run `efn-compose ARGUMENTS` in a folder; return the exit code and what it said."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    words = [str(argument) for argument in arguments]
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(words, code, *said)
