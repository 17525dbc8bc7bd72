"""Install packages into this Python as pip would, with uv where uv can be had.

uv links packages from its cache in seconds; pip unpacks 4 GB in a minute. uv asks where pip is configured
to ask, and takes the versions that pip takes. If pip has a setting that is not listed here, or uv fails,
pip does it.

    .venv/bin/python .ci/install.py --editable '.[test]'
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: Settings of pip, and what uv calls them.
OPTIONS = {
    "index-url": "--index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
}
VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
#: Settings that do not say what is installed.
WITHOUT_EFFECT = {
    "cache-dir", "compile", "disable-pip-version-check", "no-cache-dir", "no-color", "no-compile",
    "no-input", "no-python-version-warning", "progress-bar", "quiet", "require-virtualenv", "retries",
    "root-user-action", "verbose",
}  # fmt: skip
#: Where pip looks for settings, in rising order of importance.
PLACES = ("global.", "install.", ":env:.")

PIP = [sys.executable, "-m", "pip"]
INSTALL = [*PIP, "install", "--quiet", "--no-compile", "--disable-pip-version-check"]


def pip_settings(listed: str) -> dict[str, str]:
    """Return the settings that `pip config list` has printed, by name."""
    lines = [line.partition("=") for line in listed.splitlines()]
    return {
        name.removeprefix(place): ast.literal_eval(value)
        for place in PLACES
        for name, _, value in lines
        if name.startswith(place)
    }


def uv_call(settings: Mapping[str, str]) -> tuple[list[str], dict[str, str]] | None:
    """Return what makes uv install as pip would: options and variables; None if nothing does."""
    known = {*OPTIONS, *VARIABLES, *WITHOUT_EFFECT}
    if not known.issuperset(settings):
        return None
    # As pip chooses: the best version of all places, and not the first place that has the package.
    options = ["--index-strategy", "unsafe-best-match"]
    for name, option in OPTIONS.items():
        options += [word for value in settings.get(name, "").split() for word in (option, value)]
    return options, {VARIABLES[name]: settings[name] for name in settings if name in VARIABLES}


def find_uv() -> str | None:
    """Return the path of uv, which is installed beside this Python if need be."""
    beside = Path(sys.executable).with_name("uv")
    if not beside.exists() and not shutil.which("uv"):
        # Never built from its source, which takes longer than all else.
        subprocess.run([*INSTALL, "--only-binary", ":all:", "uv"], capture_output=True, check=False)
    return str(beside) if beside.exists() else shutil.which("uv")


def install(arguments: list[str]) -> int:
    """Install; return the exit code."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    call = uv_call(pip_settings(listed.stdout)) if listed.returncode == 0 else None
    uv = find_uv() if call else None
    if call and uv:
        words = [uv, "pip", "install", "--quiet", "--python", sys.executable, *call[0], *arguments]
        if subprocess.run(words, env={**os.environ, **call[1]}, check=False).returncode == 0:
            return 0
    subprocess.run([*INSTALL, "--upgrade", "pip"], check=True)
    return subprocess.run([*INSTALL, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(install(sys.argv[1:]))
