"""Every verb, given its own example where the files are missing or damaged: its exit code, no file."""

import shlex
from pathlib import Path

import pytest

from efn_compose.cli import main
from efn_compose.cli.shared.command import VERBS, load_verb

#: These read no file, or their example names none.
WITHOUT_INPUT = {"doctor", "cache", "evolve"}
EXAMPLES = {
    "convert": "convert b0.pth -o b0.h5",
    "evolve": "evolve --donors a.h5 b.h5 --data folder:photos --size 32 -o run",
    **{
        verb: load_verb(verb).EXAMPLE.removeprefix("efn-compose ")
        for verb in VERBS
        if verb not in {*WITHOUT_INPUT, "convert"}
    },
}
ENDINGS = (".h5", ".pth", ".csv", ".toml", ".keras")


def inputs_of(words: list[str]) -> list[str]:
    """Return the files that a command names, without the one it writes."""
    written = {words[number + 1] for number, word in enumerate(words) if word in ("-o", "--output")}
    return [word for word in words if word.endswith(ENDINGS) and word not in written]


def below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(words: list[str], capsys) -> None:
    before = below(Path())
    code = main(words)
    said = capsys.readouterr().err
    assert code in (1, 2), said
    assert said.strip() and "Traceback" not in said
    assert below(Path()) == before


@pytest.mark.slow
@pytest.mark.parametrize("verb", EXAMPLES)
def test_missing_and_damaged_inputs_have_an_exit_code_and_write_nothing(
    verb, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(EXAMPLES[verb])
    refused(words, capsys)
    Path("photos").mkdir()
    Path("photos/notes.txt").write_text("no image")
    for name in inputs_of(words):
        Path(name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(3000))
    refused(words, capsys)
