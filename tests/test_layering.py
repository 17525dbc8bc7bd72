"""Data flows one way: a module imports only from its own folder and those before it."""

import ast
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


def _imports(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(node.module or "")
        elif isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
    return found


def _violations(root: Path) -> list[str]:
    violations = []
    for path in sorted((root / "efn_compose").rglob("*.py")):
        relative = path.relative_to(root / "efn_compose")
        own = relative.parts[0].removesuffix(".py")
        if relative.name == "__main__.py" or str(relative) == "__init__.py":
            continue
        for module in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            parts = module.split(".")
            if parts[0] == "converters" and own not in ("cli", "conversion"):
                violations.append(f"{relative} imports converters")
            if parts[0] != "efn_compose" or len(parts) < 2 or parts[1] == own:
                continue
            if ORDER.index(parts[1]) > ORDER.index(own):
                violations.append(f"{relative} imports {module}")
    return violations


@pytest.mark.slow
def test_no_module_imports_upwards():
    assert _violations(ROOT) == []


def test_the_check_finds_a_planted_violation(tmp_path):
    package = tmp_path / "efn_compose" / "arch"
    package.mkdir(parents=True)
    (package / "wrong.py").write_text("def f():\n    from efn_compose.evolve import run\n")
    assert _violations(tmp_path) == ["arch/wrong.py imports efn_compose.evolve"]


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
    for path in sorted((ROOT / "efn_compose").rglob("*.py")):
        relative = str(path.relative_to(ROOT / "efn_compose"))
        for module in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            top = module.split(".")[0]
            assert top not in homes or relative in homes[top], f"{relative} imports {top}"


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
