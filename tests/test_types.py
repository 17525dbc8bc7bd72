"""What a type checker sees of the package: the public names, and verbs that are folders too."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import efn_compose
from efn_compose.checkpoints.dialects.dialect import Request, RequestOptions

ROOT = Path(__file__).parent.parent

SNIPPET = """
import efn_compose
from efn_compose import compose, convert, evolve, load_donor, train
from efn_compose.compose.recipe import Recipe
from efn_compose.evolve.run import EvolutionRun

reveal_type(load_donor("weights.h5"))
reveal_type(evolve("search.toml"))
reveal_type(train("train.toml"))
reveal_type(convert("timm.pth"))
reveal_type(efn_compose.evolve())
reveal_type(compose)
reveal_type(EvolutionRun)
load_donor(5)
evolve(epochs=3)
efn_compose.no_such_name
"""


def test_a_checker_sees_the_same_public_names_as_python():
    tree = ast.parse(Path(efn_compose.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: (node.module, alias.asname)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    verbs = set(efn_compose._CALLABLE_PACKAGES)
    assert {
        name: module for name, (module, _) in seen.items() if name not in verbs
    } == efn_compose._PUBLIC
    assert verbs <= set(seen)
    assert all(again == name for name, (_, again) in seen.items()), (
        "only `name as name` is public to a checker"
    )


@pytest.mark.parametrize("verb", efn_compose._CALLABLE_PACKAGES)
def test_a_folder_that_is_a_verb_calls_the_function_that_a_checker_sees(verb):
    source = Path(efn_compose.__file__).read_text(encoding="utf-8")
    (module,) = re.findall(rf"from (\S+) import {verb} as {verb}\n", source)
    package = (Path(efn_compose.__file__).parent / verb / "__init__.py").read_text(encoding="utf-8")
    assert re.findall(r'make_callable\(__name__, "(.+)"\)', package) == [f"{module}:{verb}"]


def test_the_keywords_of_a_conversion_are_the_fields_of_a_request():
    fields = {field.name: field.type for field in dataclasses.fields(Request)}
    assert fields == RequestOptions.__annotations__
    # A single field's name is one field, and not its letters.
    assert Request(accepted="bn_eps").accepted == ("bn_eps",)
    assert Request(accepted=["a", "b"]).accepted == ("a", "b")


@pytest.mark.slow
def test_mypy_knows_what_the_public_functions_return(tmp_path):
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET.lstrip(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "setup.cfg", str(snippet)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if "snippet.py" in line]
    revealed = [line.split('"')[1] for line in lines if "Revealed type" in line]
    assert revealed[:5] == [
        "efn_compose.donors.donor.Donor",
        "efn_compose.jobs.search.job.JobSummary",
        "efn_compose.jobs.trainings.job.TrainSummary",
        "converters.reading.conversion.Conversion",
        "efn_compose.jobs.search.job.JobSummary",
    ], done.stdout + done.stderr
    assert revealed[5].startswith("def (spec: efn_compose.arch.specs.ArchSpec")
    assert revealed[6].endswith("-> efn_compose.evolve.run.EvolutionRun")
    errors = [line for line in lines if line.startswith("error")]
    assert [re.findall(r"\[([a-z-]+)\]$", line)[0] for line in errors] == [
        "arg-type", "call-arg", "attr-defined"
    ], done.stdout  # fmt: skip
