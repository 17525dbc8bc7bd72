"""What a pipeline has come to: chapters that ended or failed, the submission so far, words and page."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from efn_compose.analysis.page.story_page import write_story_page
from efn_compose.analysis.reading.story_lines import chapter_of, ended_chapters
from efn_compose.donors.licences import UNKNOWN, resulting_licence
from efn_compose.errors import EfnComposeError, RunError
from efn_compose.jobs.pipeline.chapters import (
    PLAN_B,
    SUBMISSION,
    submitting_chapter,
    unread_chapters,
)
from efn_compose.jobs.pipeline.early import PLAN_B_FILE, SUBMISSION_FILE, copy
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.jobs.pipeline.worth import final_figure, shared_images, worth_of_chapters
from efn_compose.store import RunFolder
from efn_compose.store.run_folder import RESULT_FILE

#: Files of the run folder that chapters replace, by the kind of product.
_HANDED_IN = {PLAN_B: PLAN_B_FILE, SUBMISSION: SUBMISSION_FILE}
#: What becomes of weights whose licence nobody knows.
_ASK = "find it out before you pass the networks on."


class Outcome:
    """What a pipeline has come to so far.

    Args:
        story: Its chapters.
        folder: Its run folder.
        licences: Those that each of the story's weight files states, by its entry.
    """

    def __init__(
        self, story: Story, folder: RunFolder, licences: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.story, self.folder, self.licences = story, folder, licences
        self.failed: dict[str, Exception] = {}
        #: By chapter that has ended, its line of the journal.
        self.done = ended_chapters(folder.journal)

    @property
    def left(self) -> tuple[str, ...]:
        """Names of chapters that have not ended."""
        return tuple(
            chapter.name for chapter in self.story.chapters if chapter.name not in self.done
        )

    @property
    def submitted(self) -> str:
        """Name of the chapter whose submission is the story's so far; empty: plan B is.

        It is the last one in the story, not the last one to end: one that failed may have ended later.
        """
        journal = self.folder.journal
        made = {chapter_of(line) for line in journal if SUBMISSION in line.get("products", ())}
        made |= {line["cut_short"] for line in journal if "cut_short" in line}
        return next((one.name for one in reversed(self.story.chapters) if one.name in made), "")

    def waits(self, chapter: Chapter) -> bool:
        """Return whether a chapter reads one that has not ended."""
        return any(found.chapter not in self.done for _, found in chapter.references)

    def hand_in(self, chapter: Chapter, products: Mapping[str, Path]) -> None:
        """Copy a chapter's submission and plan B, unless a later chapter of the story has made its own.

        Args:
            chapter: The chapter.
            products: Its files by kind.
        """
        names = [one.name for one in self.story.chapters]
        if self.submitted and names.index(self.submitted) > names.index(chapter.name):
            return
        for kind, name in _HANDED_IN.items():
            if kind in products:
                copy(products[kind], self.folder.path / name)

    def restore_submission(self) -> None:
        """Copy the best submission again where somebody has removed it; draw the page."""
        root, chapter = self.folder.path, self.submitted
        products = self.done[chapter]["products"] if chapter in self.done else {}
        for kind, name in _HANDED_IN.items():
            source = root / products.get(kind, f"{chapter}/{name}" if chapter else PLAN_B_FILE)
            if source.is_file() and not (root / name).is_file():
                copy(source, root / name)
        self._draw_early(f"Left: {', '.join(self.left) or 'nothing'}.")

    def keep(self, chapter: Chapter, line: Mapping[str, Any]) -> None:
        """Note what a chapter has come to, in the journal and on the page."""
        self.folder.journal.append(line)
        self.done[chapter.name] = dict(line)
        self._draw_early(f"{chapter.name} has ended. Left: {', '.join(self.left) or 'nothing'}.")

    def fail(self, chapter: Chapter, error: Exception) -> None:
        """Note that a chapter failed, in the journal and on the page."""
        self.failed[chapter.name] = error
        record = {"event": "a chapter failed", "of": chapter.name, "words": _words(error)}
        self.folder.journal.append(record)
        self._draw_early(f"{chapter.name} failed. Left: {', '.join(self.left)}.")

    def end(self) -> str:
        """Return in a sentence what it all has come to, and draw the page.

        Raises:
            RunError: Chapters failed; the message has what each of them said.
            Exception: A chapter met a mistake of this program.
        """
        last = submitting_chapter(self.story)
        if not self.left:
            words = self.done[(last or self.story.chapters[-1]).name]["headline"]
        elif self.failed:
            waiting = [name for name in self.left if name not in self.failed]
            words = f"Failed: {', '.join(self.failed)}."
            words += f" Not ended: {', '.join(waiting)}." if waiting else ""
        else:
            words = f"The time was up before the end of {', '.join(self.left)}."
        if self.left and last is not None:
            is_there = (self.folder.path / SUBMISSION_FILE).is_file()
            words += (
                f" {SUBMISSION_FILE} is {self._origin()}."
                if is_there
                else f" There is no {SUBMISSION_FILE} yet."
            )
        words += " --resume goes on." if self.left else ""
        if silent := self._silent():
            words += f" No licence is stated by {', '.join(silent)}: {_ASK}"
        self.draw(words)
        for name, error in self.failed.items():
            if not isinstance(error, EfnComposeError | OSError):
                error.add_note(f"This was chapter {name} of {self.folder.path}. {words}")
                raise error
        if self.failed:
            said = [f"- {name}: {_words(error)}" for name, error in self.failed.items()]
            raise RunError("\n".join([words, *said]))
        return words

    def _draw_early(self, words: str) -> None:
        """Draw the page while chapters run; a picture is not worth a chapter, and the last one tells."""
        with suppress(Exception):
            self.draw(words)

    def draw(self, words: str) -> None:
        """Write result and page.

        Args:
            words: What the pipeline has come to, in a sentence.
        """
        licence = resulting_licence(
            {"all": [{"licence": one} for one in stated]} for stated in self.licences.values()
        )
        has_submission = (self.folder.path / SUBMISSION_FILE).is_file()
        figure = final_figure(self.story, self.folder.path, self.done)
        self.folder.write_json(
            RESULT_FILE,
            {
                "words": words,
                "ended": list(self.done),
                "left": list(self.left),
                "failed": {name: _words(error) for name, error in self.failed.items()},
                "submission": SUBMISSION_FILE if has_submission else None,
                "origin": self._origin() if has_submission else "",
                "figure": None if figure is None else asdict(figure),
                "worth": [
                    one.to_json()
                    for one in worth_of_chapters(self.story, self.folder.path, self.done)
                ],
                "notes": [*unread_chapters(self.story), *shared_images(self.story)],
                "licence": {
                    "name": licence.name,
                    "words": licence.words,
                    "silent": self._silent(),
                },
            },
        )
        write_story_page(self.folder.path)

    def _origin(self) -> str:
        """Return where the submission comes from, in words."""
        if not self.submitted:
            return "plan B"
        cut = "" if self.submitted in self.done else ", which was cut short"
        return f"what {self.submitted} wrote{cut}"

    def _silent(self) -> list[str]:
        """Return weights that state no licence."""
        return [entry for entry, stated in self.licences.items() if not {*stated} - {UNKNOWN}]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
