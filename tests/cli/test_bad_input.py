"""Every verb where the files of its example are missing or damaged: its exit code, no file, no waiting."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from random_donors import TINY, random_donor

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
NO_IMAGES = "--data folder:nowhere"
#: Commands whose weight files are there; `a.h5` and `b.h5` are of one lineage.
WITHOUT_IMAGES = (
    f"train --weights a.h5 {NO_IMAGES}",
    f"evolve --donors a.h5 b.h5 {NO_IMAGES}",
    f"predict a.h5 {NO_IMAGES} --size 32 -o p.csv",
    f"soup a.h5 b.h5 {NO_IMAGES} -o s.h5",
    f"rank a.h5 {NO_IMAGES}",
    f"study backbones --weights a.h5 {NO_IMAGES}",
    f"study backbones --weights a.h5 {NO_IMAGES} --set study.networks=no.such:function",
    "align a.h5 b.h5 --images folder:nowhere -o aligned",
    "absorb a.h5 --images folder:nowhere -o c.h5",
    "pretrain --weights a.h5 --set unlabelled.source=folder:nowhere",
)
ANSWER_ALL = """
import json, sys
from efn_compose.cli import main

late, codes = {}, []
for words in json.load(open("commands.json")):
    try:
        codes.append(main(words))
    except SystemExit as end:
        codes.append(end.code or 0)
    for name in {"tensorflow", "keras", "ray", "torch"} & set(sys.modules):
        late.setdefault(name, " ".join(words))
json.dump({"late": late, "codes": codes}, open("found.json", "w"))
"""


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


@pytest.mark.parametrize("seed", ["-1", "0.5", "one"])
@pytest.mark.parametrize(
    "verb", ["align", "attach", "augment", "folds", "join", "nest", "rank", "soup"]
)
def test_a_seed_is_a_whole_number_from_0(verb, seed, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(EXAMPLES[verb]), f"--seed={seed}"])
    assert ended.value.code == 2
    assert "argument --seed: expected a whole number, 0 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_help_and_refusals_import_no_tensorflow(tmp_path):
    """A shell completes, a person reads help or has named a wrong file: the answer comes at once."""
    donor = random_donor(TINY, 0, classes=4)
    donor.save(tmp_path / "a.h5")
    donor.replace(tensors={n: 1.01 * values for n, values in donor.tensors.items()}).save(
        tmp_path / "b.h5"
    )
    answered = [["--help"], *([verb, "--help"] for verb in VERBS)]
    refused = [shlex.split(words) for words in (*EXAMPLES.values(), *WITHOUT_IMAGES)]
    (tmp_path / "commands.json").write_text(json.dumps(answered + refused))
    subprocess.run(
        [sys.executable, "-c", ANSWER_ALL], cwd=tmp_path, capture_output=True, check=True
    )
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["late"] == {}
    assert found["codes"][: len(answered)] == [0] * len(answered)
    assert set(found["codes"][len(answered) :]) == {1, 2}
