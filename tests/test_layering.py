"""Data flows one way: a module imports only from its own folder and those before it."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

ORDER = (
    "errors", "settings", "callable_package", "quiet_import", "numerics", "arch", "checkpoints", "store",
    "models", "donors", "nesting", "compose", "data", "assess", "statistics", "soups", "train", "evolve",
    "analysis", "config", "conversion", "seeding", "jobs", "cli",
)  # fmt: skip
#: The order of the rooms inside a folder, where the table of ARCHITECTURE.md gives each a line.
ROOMS = {
    "analysis": (
        "reading", "html", "charts", "page", "card", "plot_file", "weights", "rank", "__init__",
    ),
}  # fmt: skip


@functools.cache
def _trees(root: Path) -> dict[Path, ast.Module]:
    """Return what each file of a package says, by its path; read once for all tests here."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((root / "efn_compose").rglob("*.py"))
    }


def _imports(tree: ast.Module, *, for_types: bool = True) -> list[str]:
    """Return the modules that a file imports; what only type checkers read may be left out."""
    found, left_out = [], set[ast.AST]()
    for node in ast.walk(tree):
        if not for_types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            left_out |= {inside for line in node.body for inside in ast.walk(line)}
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(node.module or "")
        elif isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
    return found


def _violations(root: Path) -> list[str]:
    violations = []
    for path, tree in _trees(root).items():
        relative = path.relative_to(root / "efn_compose")
        own = relative.parts[0].removesuffix(".py")
        if relative.name == "__main__.py" or str(relative) == "__init__.py":
            continue
        for module in _imports(tree):
            parts = module.split(".")
            if parts[0] == "converters" and own not in ("cli", "conversion"):
                violations.append(f"{relative} imports converters")
            if parts[0] != "efn_compose" or len(parts) < 2:
                continue
            order, here, there = ORDER, own, parts[1]
            if there == own:
                if own not in ROOMS or len(parts) < 3:
                    continue
                order, here, there = ROOMS[own], relative.parts[1].removesuffix(".py"), parts[2]
            if order.index(there) > order.index(here):
                violations.append(f"{relative} imports {module}")
    return violations


@pytest.mark.slow
def test_no_module_imports_upwards():
    assert _violations(ROOT) == []


def _circles(root: Path) -> set[str]:
    """Return the files that import each other, for types or later too; `__init__.py` hands names on."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts): tree
        for path, tree in _trees(root).items()
        if not path.name.startswith("__")
    }
    arrows = set()
    for name, tree in files.items():
        for node in ast.walk(tree):
            found = [] if not isinstance(node, ast.Import) else [one.name for one in node.names]
            if isinstance(node, ast.ImportFrom):
                found = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            arrows |= {(name, other) for other in found if other in files}
    # What is read by nobody that is left, or reads nobody, is in no circle.
    while True:
        ends = {a for a, _ in arrows} & {b for _, b in arrows}
        left = {(a, b) for a, b in arrows if a in ends and b in ends}
        if left == arrows:
            return ends
        arrows = left


@pytest.mark.slow
def test_no_files_import_each_other():
    assert _circles(ROOT) == set()


def test_the_check_finds_a_planted_circle(tmp_path):
    (tmp_path / "efn_compose").mkdir()
    for name, line in (
        ("a", "from efn_compose.b import f"),
        ("b", "def f():\n    from efn_compose import c"),
        ("c", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import efn_compose.a"),
        ("d", "from efn_compose.a import g"),
    ):
        (tmp_path / "efn_compose" / f"{name}.py").write_text(line)
    assert _circles(tmp_path) == {f"efn_compose.{name}" for name in "abc"}


def test_the_check_finds_a_planted_violation(tmp_path):
    package = tmp_path / "efn_compose" / "arch"
    package.mkdir(parents=True)
    (package / "wrong.py").write_text("def f():\n    from efn_compose.evolve import run\n")
    assert _violations(tmp_path) == ["arch/wrong.py imports efn_compose.evolve"]


def test_the_check_finds_a_chart_that_knows_pages(tmp_path):
    package = tmp_path / "efn_compose" / "analysis" / "charts"
    package.mkdir(parents=True)
    (package / "right.py").write_text("from efn_compose.analysis.html.markup import element\n")
    (package / "wrong.py").write_text("import efn_compose.analysis.page.report\n")
    wanted = ["analysis/charts/wrong.py imports efn_compose.analysis.page.report"]
    assert _violations(tmp_path) == wanted


@pytest.mark.slow
def test_ray_deap_and_torch_stay_in_their_places():
    homes = {
        "ray": {
            f"evolve/workers/executors/ray_{name}.py"
            for name in ("executor", "filling", "session", "worker")
        },
        "deap": {"evolve/genetic/deap_tools.py"},
        "torch": set(),
    }
    for path, tree in _trees(ROOT).items():
        relative = str(path.relative_to(ROOT / "efn_compose"))
        for module in _imports(tree):
            top = module.split(".")[0]
            assert top not in homes or relative in homes[top], f"{relative} imports {top}"


def _strangers(root: Path) -> tuple[set[str], set[str]]:
    """Return files with TensorFlow that ARCHITECTURE.md does not list, and what it lists for nothing."""
    page = (root / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = page.partition("| TensorFlow or Keras in | for |")[2].partition("\n\n")[0]
    places = set(
        re.findall(r"`([^`]+)`", " ".join(line.split("|")[1] for line in table.split("\n")[2:]))
    )
    files = {
        str(path.relative_to(root / "efn_compose"))
        for path, tree in _trees(root).items()
        if {m.split(".")[0] for m in _imports(tree, for_types=False)} & {"tensorflow", "keras"}
    }
    # A folder ends in a slash, so that a file's name is its only beginning.
    home = {file: next((p for p in places if file.startswith(p)), None) for file in files}
    return {file for file, place in home.items() if place is None}, places - set(home.values())


@pytest.mark.slow
def test_tensorflow_is_where_the_page_on_architecture_says():
    assert _strangers(ROOT) == (set(), set())


def test_the_check_finds_tensorflow_at_another_place(tmp_path):
    (tmp_path / "ARCHITECTURE.md").write_text(
        "| TensorFlow or Keras in | for |\n|---|---|\n| `models/`, `gone.py` | `no.py` |\n\nMore.\n"
    )
    for name, lines in (
        ("models/net.py", "import keras"),
        ("arch.py", "def f():\n    import tensorflow as tf"),
        ("no.py", "from keras import layers"),
        ("types.py", "if TYPE_CHECKING:\n    import keras"),
    ):
        file = tmp_path / "efn_compose" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lines)
    assert _strangers(tmp_path) == ({"arch.py", "no.py"}, {"gone.py"})


def test_import_is_fast_and_light():
    code = (
        "import sys; before = set(sys.modules); import efn_compose; "
        "from efn_compose import load_donor, convert, nest, compose, evolve, Recipe; "
        "import efn_compose.config; "
        "real = [name for name, module in sys.modules.items() if getattr(module, '__spec__', None)]; "
        "tops = {name.partition('.')[0] for name in set(real) - before}; "
        "print(*sorted(tops - sys.stdlib_module_names))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert set(output.split()) <= {"converters", "efn_compose", "h5py", "ml_dtypes", "numpy"}
