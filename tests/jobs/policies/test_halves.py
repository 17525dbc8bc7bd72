"""Held-out images that find a policy and those that judge it are of different patients."""

from types import SimpleNamespace

import numpy as np

from efn_compose.jobs.policies.options import PolicyConfig
from efn_compose.jobs.policies.preparation import PreparedPolicy, _too_few

RNG = np.random.default_rng(0)
#: Patients have one to five images, of one class each.
PATIENTS = np.repeat(np.arange(60), RNG.integers(1, 6, 60))
LABELS = (PATIENTS % 3).astype(np.int32)


def prepared(patients, fold):
    folded = SimpleNamespace(fold=fold, labels=LABELS)
    images = SimpleNamespace(folded=folded, table=SimpleNamespace(groups=patients))
    networks = [SimpleNamespace(fold=number) for number in np.unique(fold)]
    return PreparedPolicy(PolicyConfig(), networks, SimpleNamespace(images=images), None)


def test_no_patient_finds_and_judges():
    fold = PATIENTS % 2
    for patients in (PATIENTS, None):
        halves = prepared(patients, fold).halves
        assert sorted(halves) == [0, 1]
        for number, (finding, judging) in halves.items():
            assert not set(finding) & set(judging)
            assert set(finding) | set(judging) == set(np.flatnonzero(fold == number))
            assert abs(len(finding) - len(judging)) <= 6
            shared = set(PATIENTS[finding]) & set(PATIENTS[judging])
            assert bool(shared) == (patients is None)
    assert _too_few(prepared(PATIENTS, fold)) == []


def test_a_fold_of_one_patient_cannot_be_halved():
    (line,) = _too_few(prepared(np.zeros_like(PATIENTS), np.zeros(len(PATIENTS), int)))
    assert "no patient is in both" in line
