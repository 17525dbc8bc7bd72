"""A verb of the command line in this process, with its exceptions."""

from efn_compose.cli.shared.command import load_verb, verb_parser
from efn_compose.cli.shared.output import Output


def run_verb(name: str, *words: object) -> int:
    """Run a verb as the command line does, but let deliberate errors through; return the exit code."""
    module = load_verb(name)
    options = verb_parser(name, module).parse_args([str(word) for word in words])
    return module.run(options, Output(as_json=options.json, is_quiet=options.quiet)) or 0
