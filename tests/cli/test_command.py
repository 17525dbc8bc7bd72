"""The command line from outside: exit codes, words, JSON, and nothing left behind by errors."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from random_donors import random_donor
from verbs import call_command

from efn_compose.arch import arch_spec
from efn_compose.cli import main
from efn_compose.cli.shared.arguments import SOURCES
from efn_compose.cli.shared.command import VERBS, Verb
from efn_compose.data import options as data_options
from efn_compose.donors import load_donor
from efn_compose.jobs.pipeline import job as pipelines
from efn_compose.store import RunFolder

NANO, WIDE = "b-w0.5-d0.3", "b-w1.4-d0.3"


@pytest.mark.slow
def test_the_overview_lists_exactly_the_verbs():
    result = call_command("--help")
    assert result.returncode == 0
    assert re.findall(r"^  ([a-z-]+)  ", result.stdout, re.M) == list(VERBS)
    assert call_command().returncode == 2
    assert call_command("--version").stdout.startswith("efn-compose 0.")


def test_help_texts_name_the_sources_that_settings_name():
    assert data_options.SOURCES == SOURCES


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb):
    result = call_command(verb, "--help")
    assert result.returncode == 0
    assert f"usage: efn-compose {verb}" in result.stdout
    assert f"example:\n  efn-compose {verb}" in result.stdout
    for option in ("--json", "--quiet"):
        assert option in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_an_example_is_accepted_by_its_own_parser(verb):
    import shlex

    from efn_compose.cli.shared.command import load_verb, verb_parser

    module = load_verb(verb)
    words = shlex.split(module.EXAMPLE)
    assert words[:2] == ["efn-compose", verb]
    verb_parser(verb, module).parse_args(words[2:])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nets"], "Did you mean 'nest'?"),
        (["direct_sum"], "Did you mean 'direct-sum'?"),
        (["nest"], "required"),
        (["nest", "a.h5", "--into", "b5", "-o", "b.h5", "--fil", "x"], "invalid choice"),
        (["evolve", "--set", "halving.populatoin=3"], "Did you mean halving.population?"),
        (["evolve", "absent.toml"], "no such file"),
        (["evolve", "--dry-run", "--resume"], "exclude each other"),
    ],
)
def test_wrong_usage_is_2(tmp_path, arguments, said):
    result = call_command(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nest", "absent.h5", "--into", "lite1", "-o", "out.h5"], "absent.h5"),
        (["inspect", "absent.h5"], "absent.h5"),
        (["convert", "absent.pth", "-o", "out.h5"], "absent.pth"),
        (["evolve", "--set", "data.source=folder:absent"], "absent"),
    ],
)
def test_a_failure_is_1_with_one_message_and_nothing_written(tmp_path, arguments, said):
    result = call_command(*arguments, folder=tmp_path)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
    as_json = call_command(*arguments, "--json", folder=tmp_path)
    assert as_json.returncode == 1
    document = json.loads(as_json.stdout)
    assert document["error"].endswith("Error")
    assert said in document["message"]


@pytest.mark.slow
def test_nest_inspect_and_direct_sum_from_file_to_file(tmp_path):
    donors = [random_donor(NANO, seed, classes=5) for seed in (1, 2)]
    for donor in donors:
        donor.save(tmp_path / f"{donor.name}.h5")
    nest = call_command(
        "nest", "nano1.h5", "--into", WIDE, "-o", "wide.h5", "--verify", "--json", folder=tmp_path
    )
    assert nest.returncode == 0, nest.stderr
    assert json.loads(nest.stdout)["variant"] == WIDE
    # The file holds the donor's first filters where the larger stem begins.
    large = load_donor(tmp_path / "wide.h5")
    kernel = donors[0].tensors["stem_conv/kernel"]
    np.testing.assert_array_equal(
        large.tensors["stem_conv/kernel"][..., : kernel.shape[-1]], kernel
    )

    inspected = call_command("inspect", "wide.h5", "--json", folder=tmp_path)
    document = json.loads(inspected.stdout)
    assert document["variant"] == WIDE
    assert document["classes"] == 5
    assert document["stem_channels"] == arch_spec(WIDE).stem_channels

    summed = call_command(
        "direct-sum",
        "nano1.h5",
        "nano2.h5",
        "--into",
        WIDE,
        "-o",
        "sum.h5",
        "--verify",
        folder=tmp_path,
    )
    assert summed.returncode == 0, summed.stderr
    assert call_command("inspect", "sum.h5", "--quiet", folder=tmp_path).stdout == ""

    smaller = call_command("nest", "wide.h5", "--into", NANO, "-o", "no.h5", folder=tmp_path)
    assert smaller.returncode == 1
    assert "Traceback" not in smaller.stderr
    assert not (tmp_path / "no.h5").exists()


@pytest.mark.slow
def test_a_tilde_that_the_shell_leaves_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    random_donor(NANO, 1, classes=5).save(tmp_path / "nano.h5")
    assert main(["inspect", "~/nano.h5", "--quiet"]) == 0
    assert main(["nest", "~/nano.h5", "--into", WIDE, "--output=~/wide.h5", "--quiet"]) == 0
    assert load_donor(tmp_path / "wide.h5").spec.variant == WIDE


@pytest.mark.slow
def test_shrink_undoes_the_size_of_a_nested_network(tmp_path):
    donor = random_donor(NANO, 1, classes=5)
    donor.save(tmp_path / "nano1.h5")
    images = ("--images", "digits", "--image-count", 8, "--size", 32)
    nested = call_command(
        "nest", "nano1.h5", "--into", WIDE, "-o", "wide.h5", *images, folder=tmp_path
    )
    assert nested.returncode == 0, nested.stderr
    cut = call_command(
        "shrink", "wide.h5", "--into", NANO, "-o", "cut.h5", *images, "--json", folder=tmp_path
    )
    assert cut.returncode == 0, cut.stderr
    assert json.loads(cut.stdout)["variant"] == NANO
    again = load_donor(tmp_path / "cut.h5")
    assert {name: values.shape for name, values in again.tensors.items()} == {
        name: values.shape for name, values in donor.tensors.items()
    }


@pytest.mark.slow
def test_export_writes_a_file_with_every_tensor(tmp_path):
    """The header of a safetensors file is JSON behind eight bytes of length, by its format."""
    donor = random_donor(NANO, 1, classes=5)
    donor.save(tmp_path / "nano1.h5")
    result = call_command(
        "export", "nano1.h5", "--to", "safetensors", "-o", "o.safetensors", folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    content = (tmp_path / "o.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.pop("__metadata__", None)
    stored = sorted(int(np.prod(entry["shape"])) for entry in header.values())
    assert stored == sorted(int(values.size) for values in donor.tensors.values())
    unknown = call_command(
        "export", "nano1.h5", "--to", "caffe", "-o", "o.caffemodel", folder=tmp_path
    )
    assert unknown.returncode == 2
    assert "timm" in unknown.stderr
    assert not (tmp_path / "o.caffemodel").exists()
    over = ("export", "nano1.h5", "--to", "keras-applications", "-o", "./nano1.h5")
    assert "would replace" in call_command(*over, folder=tmp_path).stderr
    assert load_donor(tmp_path / "nano1.h5").fingerprint == donor.fingerprint


@pytest.mark.slow
def test_report_draws_a_run_that_has_only_begun(tmp_path):
    RunFolder.create(tmp_path / "begun", "[run]\nseed = 1\n", {}).close()
    result = call_command("report", "begun", "--json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "begun" / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    missing = call_command("report", "absent", folder=tmp_path)
    assert missing.returncode == 1
    assert "absent" in missing.stderr


@pytest.mark.slow
def test_align_writes_donors_in_one_basis(tmp_path):
    for seed in (1, 2):
        random_donor(NANO, seed, classes=5).save(tmp_path / f"nano{seed}.h5")
    arguments = (
        "align", "nano1.h5", "second=nano2.h5", "--images", "digits", "--image-count", 12,
        "--size", 32, "-o", "aligned", "--reference", "second", "--json",
    )  # fmt: skip
    result = call_command(*arguments, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert not document["donors"]["nano1"]["cached"]
    written = (tmp_path / "aligned" / "nano1.h5").read_bytes()
    again = call_command(*arguments, folder=tmp_path)
    assert json.loads(again.stdout)["donors"]["nano1"]["cached"]
    assert (tmp_path / "aligned" / "nano1.h5").read_bytes() == written
    assert document["reference"] == "second"
    reference = load_donor(tmp_path / "aligned" / "second.h5")
    for name, values in random_donor(NANO, 2, classes=5).without_head().tensors.items():
        np.testing.assert_array_equal(reference.tensors[name], values)
    for match in document["donors"]["nano1"]["matches"].values():
        assert match["after"] > match["before"]


def test_files_that_are_read_are_not_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lesions.csv").write_text("image,label\na.png,b\n")
    for seed in (1, 2):
        random_donor(NANO, seed, classes=5).save(f"nano{seed}.h5")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["align", "nano1.h5", "other=nano2.h5", "--images", "digits", "-o", "."]) == 1
    assert main(["folds", "csv:lesions.csv", "-o", "lesions.csv"]) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_doctor_reports_versions_as_json():
    from importlib.metadata import version

    result = call_command("doctor", "--json")
    document = json.loads(result.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["is_ready"] is (result.returncode == 0) is True
    assert version("tensorflow") == checks["tensorflow"]["found"]
    assert checks["TensorFlow runs"]["status"] == "good"
    # It was started and answered: what a run could use is named.
    assert re.search(r"offers \d+ CPU.*first answer", checks["Ray runs"]["found"])
    for check in document["checks"]:
        assert (check["status"] == "good") == (check["advice"] == "")


@pytest.mark.slow
def test_doctor_sees_a_broken_tensorflow(tmp_path):
    """A package of that name that kills the interpreter, as on a processor without AVX."""
    fake = tmp_path / "tensorflow"
    fake.mkdir()
    (fake / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    # Starting Ray takes seconds; without it a run can go on in this process, so that is a warning.
    (tmp_path / "ray.py").write_text("raise ImportError('no Ray here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-m", "efn_compose", "doctor"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.search(r"FAIL  TensorFlow runs +crashed with signal 4 .*AVX", result.stdout)
    assert re.search(r"warn  Ray runs +.*no Ray here", result.stdout)


def test_doctor_calls_a_slow_tensorflow_slow_and_not_broken(monkeypatch):
    """As on a busy machine, or with the packages on a cold network disk: a search would run there."""
    from efn_compose.jobs.doctor import check, software

    monkeypatch.setattr(check, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(software, "TENSORFLOW_PROBE", "import time; time.sleep(60)")
    (found,) = software.check_tensorflow()
    assert found.status == "warning"
    assert "no answer" in found.found and "less busy" in found.advice


def test_an_import_is_short_and_silenced_unless_it_fails(tmp_path):
    """Messages that a library writes past Python, as TensorFlow's do."""
    (tmp_path / "tensorflow.py").write_text(
        "import os; os.write(2, b'chatter\\n')\n"
        "exec(os.environ.get('BROKEN', ''))\n"
        "try: import sklearn\n"
        "except ImportError: print('without scikit-learn')\n"
    )
    script = (
        "import os\n"
        "from efn_compose.quiet_import import import_tensorflow_quietly as quietly\n"
        "quietly(); import tensorflow; os.write(2, b'after\\n'); print(tensorflow.__file__)\n"
        "import sklearn"
    )
    (tmp_path / "sklearn.py").write_text("")
    said = {}
    for broken in ("", "raise ImportError('broken')", "raise KeyboardInterrupt"):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "BROKEN": broken}
        said[broken] = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment,
            check=False,
        )  # fmt: skip
    assert said[""].stderr == "after\n"
    assert said[""].returncode == 0
    assert said[""].stdout.splitlines() == ["without scikit-learn", str(tmp_path / "tensorflow.py")]
    failed, stopped = (said[broken].stderr for broken in list(said)[1:])
    assert failed.startswith("chatter\n") and "ImportError: broken" in failed
    assert "chatter" not in stopped and "KeyboardInterrupt" in stopped


def test_ctrl_c_before_a_verb_is_at_work_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "stopped_while_imported.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(VERBS, "train", Verb("stopped_while_imported", ""))
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "efn-compose: stopped.\n"


def test_a_stopped_dry_run_sends_nobody_to_a_run_folder(monkeypatch, capsys):
    def interrupted(*words, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines, "prepare_pipeline", interrupted)
    assert main(["pipeline", "story.toml", "-o", "none", "--dry-run"]) == 130
    assert capsys.readouterr().err == "efn-compose: stopped. Nothing was written.\n"


def test_python_dash_m_evolve_is_the_verb():
    result = subprocess.run(
        [sys.executable, "-m", "efn_compose.evolve", "--help"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0
    assert "usage: efn-compose evolve" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(tmp_path, number):
    script = """
import sys, time
from efn_compose.jobs.search import job
from efn_compose.cli import main
def evolve(*arguments, **options):
    print("running", flush=True)
    time.sleep(60)
job.evolve = evolve
sys.exit(main(["evolve"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A suite that a shell started in the background has inherited a deaf ear.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "running\n"
        time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume goes on" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    random_donor(NANO, 0, classes=5).save(tmp_path / "nano0.h5")
    command = f"{sys.executable} -m efn_compose inspect nano0.h5 --json | head -1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert result.stderr == ""
    assert result.returncode == 0


@pytest.mark.slow
def test_the_installed_command_is_the_same():
    command = Path(sys.executable).with_name("efn-compose")
    if not command.exists():
        pytest.skip("the package is not installed here")
    module = [sys.executable, "-m", "efn_compose"]
    said = [subprocess.check_output([*start, "--help"], text=True) for start in ([command], module)]
    assert said[0] == said[1] == call_command("--help").stdout
