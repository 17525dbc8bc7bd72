"""Which chapter's answer is handed in, in whatever order chapters end."""

import itertools

import pytest

from efn_compose.jobs.pipeline.outcome import Outcome
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.store import RunFolder

CHAPTERS = ("first", "second", "answer")


@pytest.mark.parametrize("order", list(itertools.permutations(CHAPTERS)))
def test_the_last_chapter_of_the_story_is_handed_in_whichever_ends_last(order, tmp_path):
    """A chapter that failed runs again by --resume, when later ones have ended."""
    story = Story("story", tuple(Chapter(name, "predict") for name in CHAPTERS))
    with RunFolder.create(tmp_path / "run", "", {}) as folder:
        outcome, ended = Outcome(story, folder, {}), []
        assert outcome.submitted == ""
        for name in order:
            file = folder.path / name / "predictions.csv"
            file.parent.mkdir()
            file.write_text(name)
            outcome.hand_in(story[name], {"submission": file})
            products = {"submission": f"{name}/predictions.csv"}
            # The answer is cut short, as an ensemble is that has asked a part of its networks.
            line = {"chapter": name, "products": products}
            folder.journal.append({"cut_short": name} if name == "answer" else line)
            ended.append(name)
            latest = max(ended, key=CHAPTERS.index)
            assert outcome.submitted == latest
            assert (folder.path / "submission.csv").read_text() == latest
