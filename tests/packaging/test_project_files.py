"""Files that other programs read: what they say agrees with the rest of the repository."""

import configparser
import re

import pytest
from repository import ROOT

yaml = pytest.importorskip("yaml")

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_workflow_runs_every_supported_python():
    classifiers = SETUP["metadata"]["classifiers"]
    supported = re.findall(r"Python :: (\d+\.\d+)", classifiers)
    jobs = read(".github/workflows/ci.yml")["jobs"]
    assert jobs["quick"]["strategy"]["matrix"]["python"] == supported
    low, high = re.fullmatch(r">=(\S+),<(\S+)", SETUP["options"]["python_requires"]).groups()
    assert low == supported[0]
    assert high == f"3.{int(supported[-1].partition('.')[2]) + 1}"


def test_hooks_and_workflow_run_what_make_lint_runs():
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M).group(1)
    hooks = [
        hook["entry"] for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]
    for command in re.findall(r"\$\(BIN\)/(\w+(?: \w+)?)", lint):
        assert any(entry.startswith(f".venv/bin/{command}") for entry in hooks), command
    steps = read(".github/workflows/ci.yml")["jobs"]["full"]["steps"]
    assert "make test" in [step.get("run") for step in steps]


def test_templates_and_citation_have_what_their_readers_need():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = read(path.relative_to(ROOT))
        assert {"name", "description", "body"} <= set(form), path.name
        assert all(part["attributes"]["label"] for part in form["body"])
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == SETUP["metadata"]["license"]
