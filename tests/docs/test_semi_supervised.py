"""The example of docs/semi_supervised.md runs as it stands, on a tiny network."""

import re

import numpy as np
import pytest
from repository import ROOT
from tiny_recipe import quarters, tiny_data, tiny_donor

from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import TrainOptions
from efn_compose.train.semi import SemiOptions
from efn_compose.train.semi.noisy_student import noisy_student

PAGE = ROOT / "docs" / "semi_supervised.md"


@pytest.mark.slow
def test_the_example_trains_both_and_finished_rounds_are_read_again(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    unlabelled, _ = quarters(32, seed=3)
    names = {"donor": tiny_donor(), "data": tiny_data(), "unlabelled": unlabelled}
    names["images"] = unlabelled[:5]
    exec(compile(code, PAGE.name, "exec"), names)
    assert names["logits"].shape == (5, 4)
    assert [record.round for record in names["rounds"]] == [0, 1, 2]
    assert names["teacher"].predict(unlabelled[:5]).shape == (5, 4)
    semi = SemiOptions(rounds=1, confidence=0.0, labelled_share=0.5)
    said, plain = [], AugmentOptions(flip_x=0.0)

    def again(**more):
        return noisy_student(
            names["donor"], names["data"], unlabelled, semi, TrainOptions(epochs=2, batch_size=16),
            trainer=names["student"].trainer, state_file=tmp_path / "s.h5",
            teacher_augment=plain, student_augment=plain, **more,
        )  # fmt: skip

    fitted, records = again(on_round=said.append)
    assert said == records and records[1].confident == 32 and set(records[1].counts) <= {0, 8}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.round0.h5", "s.round1.h5"]
    wanted, before = fitted.predict(unlabelled), (tmp_path / "s.round1.h5").stat().st_mtime_ns
    np.testing.assert_array_equal(again()[0].predict(unlabelled), wanted)
    assert (tmp_path / "s.round1.h5").stat().st_mtime_ns == before
