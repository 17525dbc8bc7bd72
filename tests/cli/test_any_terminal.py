"""Commands end with their own exit code where standard output cannot show what they say."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from efn_compose.cli.shared.output import Output


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("\u011dato \u732b", "dog")):
        (root / name).mkdir()
        for image in range(4):
            pixels = np.random.default_rng(10 * number + image).integers(0, 256, (24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{image}.png")
    return root


def run(arguments, encoding, **options):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "efn_compose", *arguments]
    return subprocess.run(command, capture_output=True, env=environment, check=False, **options)


COMMANDS = {
    "a result": (["folds", "folder:{photos}", "--count", "2"], 0),
    "a failure": (["convert", "\u732b.pth", "-o", "out.h5"], 1),
    "wrong usage": (["evolve", "--set", "\u732b.x=1"], 2),
}


# All there is: an encoding that cannot write the names, and one that can.
@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_exit_code_and_words_do_not_depend_on_the_terminal(photos, tmp_path, kind, encoding):
    arguments, code = COMMANDS[kind]
    arguments = [word.replace("{photos}", str(photos)) for word in arguments]
    result = run(arguments, encoding, cwd=tmp_path)
    said = (result.stdout + result.stderr).decode(encoding)
    assert result.returncode == code, said
    assert "Traceback" not in said and said.strip()


@pytest.mark.slow
def test_a_command_without_standard_output_does_its_work(photos, tmp_path):
    table = tmp_path / "folds.csv"
    command = (
        f"{sys.executable} -m efn_compose folds folder:'{photos}' --count 2 -o {table} >&- 2>&-"
    )
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert table.read_text(encoding="utf-8").count("\n") == 9


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "utf-8"])
def test_a_name_in_json_is_the_same_name_on_every_terminal(monkeypatch, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace")
    monkeypatch.setattr(sys, "stdout", out)
    Output(as_json=True).result({"class": "\u011dato \u732b"}, "")
    assert json.loads(out.buffer.getvalue().decode(encoding)) == {"class": "\u011dato \u732b"}
