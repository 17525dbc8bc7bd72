"""The examples of docs/validation.md run as they stand and print what the page says they print."""

import re

import pytest
from repository import ROOT

PAGE = ROOT / "docs" / "validation.md"
EXAMPLES = re.findall(
    r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs_and_prints_what_follows_it(number, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed = EXAMPLES[number]
    exec(compile(code, f"{PAGE.name}[{number}]", "exec"), {})
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == printed.splitlines()
