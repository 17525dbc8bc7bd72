"""How packages are installed: uv is told what pip is configured for, or pip does it."""

import importlib.util
import itertools

import pytest
from repository import ROOT

_SPEC = importlib.util.spec_from_file_location("install", ROOT / ".ci" / "install.py")
install = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(install)

#: As `pip config list` prints it.
LISTED = """\
:env:.cert='/env.crt'
:env:.find-links='/wheels'
global.cert='/global.crt'
global.disable-pip-version-check='true'
global.extra-index-url='https://one/simple\\nfile:///two'
global.find-links='/overruled'
install.constraint='/versions.txt'
install.timeout='9'
freeze.timeout='10'
"""


def test_uv_asks_where_pip_would_and_the_environment_overrules_files():
    options, variables = install.uv_call(install.pip_settings(LISTED))
    given = set(itertools.pairwise(options))
    assert {
        ("--extra-index-url", "https://one/simple"),
        ("--extra-index-url", "file:///two"),
        ("--find-links", "/wheels"),
        ("--constraint", "/versions.txt"),
    } <= given
    assert "/overruled" not in options and "--index-url" not in options
    assert variables == {"SSL_CERT_FILE": "/env.crt", "UV_HTTP_TIMEOUT": "9"}


@pytest.mark.parametrize("setting", ["no-index", "no-binary", "target", "user", "client-cert"])
def test_pip_does_what_uv_would_do_otherwise(setting):
    assert install.uv_call(install.pip_settings(f"install.{setting}='1'")) is None


@pytest.mark.slow
@pytest.mark.parametrize("found", [None, "/bin/false"])
def test_pip_installs_where_uv_is_absent_or_fails(monkeypatch, found):
    calls = []
    run = install.subprocess.run

    def seen(words, **options):
        if "install" in words and words[0] != found:
            calls.append(words[len(install.INSTALL) :])
            return install.subprocess.CompletedProcess(words, 3 if "--editable" in words else 0)
        return run(words, **options)

    monkeypatch.setattr(install, "find_uv", lambda: found)
    monkeypatch.setattr(install.subprocess, "run", seen)
    assert install.install(["--editable", "."]) == 3
    assert calls == [["--upgrade", "pip"], ["--editable", "."]]
