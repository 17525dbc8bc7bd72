"""The page of commands, written by the commands themselves."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_PLACE = "<!-- commands -->"


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the mark on the page by every verb with its help."""
    return text.replace(_PLACE, _verbs()) if _PLACE in text else text


def _verbs() -> str:
    from efn_compose.cli.shared.command import VERBS, load_verb, verb_parser

    parts = []
    for name in VERBS:
        module = load_verb(name)
        parts += [
            f"## {name}",
            f"```sh\n{module.EXAMPLE}\n```",
            f"```text\n{verb_parser(name, module).format_help().rstrip()}\n```",
        ]
    return "\n\n".join(parts)
