"""What the pages say holds: links lead somewhere, commands parse, configurations are accepted."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from random_donors import TINY, random_donor
from repository import ROOT

import efn_compose
from efn_compose.cli.shared.command import VERBS, load_verb, verb_parser
from efn_compose.config import RunConfig, load_config
from efn_compose.errors import ConfigError
from efn_compose.jobs.pipeline.chapters import SCHEMAS, overrides_of
from efn_compose.jobs.pipeline.story import read_story
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.settings import build as settings

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "converters").glob("*.md"),
        *(ROOT / "experiments" / "results").glob("*.md"),
    ]
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PICTURE_BYTES = 300_000


def _blocks(page: Path, *languages: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for language, code in _BLOCK.findall(text) if language in languages]


def _commands(code: str) -> list[list[str]]:
    """Return the words of each `efn-compose` line; lines that a shell has to complete are left out."""
    lines = code.replace("\\\n", " ").splitlines()
    found = [line.strip() for line in lines if line.strip().startswith("efn-compose ")]
    return [shlex.split(line, comments=True) for line in found if "$" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        place = page.parent / target.partition("#")[0]
        assert place.exists(), f"{page.name}: {target}"


def _places(page: Path) -> set[str]:
    """Return what a link can name after `#`: each heading, as GitHub and the site both write it."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading)) for heading in plain}


def test_links_to_a_heading_name_one():
    count = 0
    for page in PAGES:
        for target in _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
            name, _, heading = target.partition("#")
            if heading and "://" not in target and (not name or name.endswith(".md")):
                count += 1
                there = page.parent / name if name else page
                assert heading in _places(there), f"{page.name}: {target}"
    assert count > 10


@pytest.mark.slow
def test_names_that_pages_import_exist():
    found = set()
    for page in PAGES:
        for code in _blocks(page, "python"):
            one_line = re.sub(r"\(\s*([^)]*?),?\s*\)", r"\1", code)
            for module, names in re.findall(r"^from (efn_compose\S*) import (.+)$", one_line, re.M):
                found |= {(page.name, module, name.strip()) for name in names.split(",")}
    for page_name, module, name in sorted(found):
        try:
            exec(f"from {module} import {name}", {})
        except ImportError as error:
            pytest.fail(f"{page_name}: {error}")
    assert len(found) > 30


@pytest.mark.slow
def test_the_readmes_python_gives_logits(tmp_path, monkeypatch):
    (code,) = _blocks(ROOT / "README.md", "python")
    (path,) = re.findall(r'load_donor\("(.*?)"\)', code)
    (tmp_path / path).parent.mkdir(parents=True)
    random_donor(TINY, classes=4).save(tmp_path / path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert np.shape(names["logits"]) == (1, 4)


def test_the_python_page_says_where_each_name_is_imported_from():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    entry = r"^::: \S+\.(\w+)$(\n    options:\n      show_root_full_path: true$)?"
    before, pieces = page.split("## The pieces of a training")
    found = re.findall(entry, before + pieces[pieces.index("## Networks") :], re.MULTILINE)
    top = {name for name, module_shown in found if not module_shown} - {"errors"}
    assert top == set(efn_compose.__all__) - {"__version__"}


def test_the_first_page_lists_every_verb():
    code = "".join(_blocks(ROOT / "docs" / "index.md", "sh"))
    assert set(VERBS) - {words[1] for words in _commands(code)} == set()


def test_pictures_are_small_and_shown():
    pictures = list((ROOT / "docs" / "assets").glob("*.png"))
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > PICTURE_BYTES] == []
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    # The site shows a dark one in place of a light one.
    names = {re.sub("_(dark|light)[.]png", "", path.name) for path in pictures}
    assert [name for name in names if name not in text] == []


def test_every_command_on_every_page_is_one(capsys):
    count = 0
    for page in PAGES:
        for code in _blocks(page, "sh", "bash"):
            for words in _commands(code):
                verb = words[1]
                assert verb in VERBS, f"{page.name}: {words}"
                try:
                    verb_parser(verb, load_verb(verb)).parse_args(words[2:])
                except SystemExit:
                    pytest.fail(f"{page.name}: {shlex.join(words)}: {capsys.readouterr().err}")
                count += 1
    assert count > 30, "the pages' commands are not found any more"


def _story_problems(code: str, folder: Path) -> list[str]:
    """Return what is wrong with a story: its form, and the settings of its chapters."""
    (folder / "story.toml").write_text(code)
    problems = []
    for chapter in read_story(folder / "story.toml", SCHEMAS).chapters:
        try:
            load_config(None, overrides_of(chapter.settings), SCHEMAS[chapter.verb])
        except ConfigError as error:
            problems.append(str(error))
    return problems


def test_every_configuration_on_every_page_is_accepted(tmp_path):
    count = 0
    for page in PAGES:
        for code in _blocks(page, "toml"):
            tables = tomllib.loads(code)
            count += 1
            if any("verb" in table for table in tables.values() if isinstance(table, dict)):
                problems = _story_problems(code, tmp_path)
                assert problems == [], f"{page.name}: {code}"
                continue
            schema = TrainConfig if {"weights", "train"} & set(tables) else RunConfig
            _, problems = settings.build(schema, tables)
            assert problems == [], f"{page.name}: {code}"
    assert count >= 3
