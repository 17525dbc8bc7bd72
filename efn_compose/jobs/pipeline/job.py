"""`pipeline`: the chapters of a story, one after the other, to a submission."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from efn_compose.errors import EfnComposeError
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.jobs.donor_entries import free_name
from efn_compose.jobs.pipeline.alarm import Alarm, TimeIsUpError
from efn_compose.jobs.pipeline.attempts import Attempt, attempting
from efn_compose.jobs.pipeline.chapters import (
    CHAPTER_VERBS,
    SCHEMAS,
    Ended,
    overrides_of,
    product_kind,
    with_products,
)
from efn_compose.jobs.pipeline.checks.whole import Checked, check_story
from efn_compose.jobs.pipeline.early import SUBMISSION_FILE, make_early_submission
from efn_compose.jobs.pipeline.outcome import Outcome
from efn_compose.jobs.pipeline.products import check_products, fingerprint
from efn_compose.jobs.pipeline.story import Chapter, Reference, Story, read_story
from efn_compose.store import RunFolder
from efn_compose.store.run_folder import ENVIRONMENT_FILE, REPORT_FILE
from efn_compose.store.run_verb import refuse_other_verb

Say = Callable[[str], None]


@dataclass(frozen=True)
class PipelineSummary:
    """What a pipeline has come to.

    Args:
        folder: Its run folder.
        submission: The best finished submission, None where the story asks for none.
        report: The page.
        ended: Names of the chapters that have ended.
        left: Names of those that have not.
        words: In a sentence.
    """

    folder: Path
    submission: Path | None
    report: Path
    ended: tuple[str, ...]
    left: tuple[str, ...]
    words: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.words


@dataclass(frozen=True)
class PreparedPipeline:
    """A story, checked.

    Args:
        story: Its chapters in order.
        checked: What it takes, and the licences of its weights.
        folder: Where it runs.
    """

    story: Story
    checked: Checked
    folder: Path

    @property
    def identity(self) -> dict[str, str]:
        """Hash of all that decides the results; each chapter checks the files it reads."""
        deciding = self.story.without("executor")
        return {"story": hashlib.sha256(deciding.to_toml().encode()).hexdigest()}


def prepare_pipeline(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    output: str | os.PathLike[str] | None = None,
) -> PreparedPipeline:
    """Read a story and check every chapter of it; writes nothing.

    Args:
        path: The story file.
        overrides: "chapter.section.key=value" each.
        output: The run folder; None: `runs/` and the story's name.

    Raises:
        EfnComposeError: Anything that would stop a chapter later.
    """
    story = read_story(path, SCHEMAS, overrides)
    folder = Path("runs") / story.name if output is None else Path(output).expanduser()
    return PreparedPipeline(story, check_story(story, folder), folder)


def pipeline(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    hours: float = 0.0,
    quiet: bool = False,
    say: Say = lambda words: None,
) -> PipelineSummary:
    """Run the chapters of a story, each an existing verb in a folder of its own.

    A short training from the first weights makes a submission before anything else. Better ones take
    its place as chapters end. A killed pipeline goes on where it was.

    Args:
        path: The story file.
        overrides: "chapter.section.key=value" each.
        output: The run folder; None: `runs/` and the story's name.
        resume: Go on with the run folder's pipeline.
        hours: Stop after so many hours with the best submission that is finished; 0: no limit.
        quiet: Draw no progress.
        say: Told in a line what has just happened.

    Raises:
        EfnComposeError: Bad input (nothing was written), chapters that failed (the others have ended), or
            a product that somebody has changed.

    Example:
        >>> pipeline("story.toml", hours=8.0)  # doctest: +SKIP
    """
    alarm = Alarm(hours)
    prepared = prepare_pipeline(path, overrides, output)
    return run_pipeline(prepared, resume=resume, hours=alarm.hours_left(), quiet=quiet, say=say)


def run_pipeline(
    prepared: PreparedPipeline,
    *,
    resume: bool = False,
    hours: float = 0.0,
    quiet: bool = False,
    say: Say = lambda words: None,
) -> PipelineSummary:
    """Run what `prepare_pipeline` prepared; arguments as those of `pipeline`."""
    alarm = Alarm(hours)
    opener = RunFolder.resume if resume else RunFolder.create
    text = prepared.story.to_toml()
    refuse_other_verb(prepared.folder, text)
    with opener(prepared.folder, text, prepared.identity) as folder:
        return _Pipeline(prepared, folder, alarm, quiet, say).run()


def shorter_hours(own: float, left: float) -> float:
    """Return the hours of a chapter that may have a limit of its own; 0: no limit.

    Args:
        own: As the story says; 0: no limit.
        left: Until the pipeline's end; 0: no limit.

    Example:
        >>> shorter_hours(0.5, 8.0), shorter_hours(0.0, 8.0), shorter_hours(9.0, 0.0)
        (0.5, 8.0, 9.0)
    """
    return min(own, left) if own and left else own or left


class _Pipeline:
    """One run of a pipeline."""

    def __init__(
        self, prepared: PreparedPipeline, folder: RunFolder, alarm: Alarm, quiet: bool, say: Say
    ) -> None:
        self.story, self.folder = prepared.story, folder
        self.search_device = prepared.checked.search_device
        self.alarm, self.quiet, self.say = alarm, quiet, say
        #: A chapter that was cut short must know its files again from any working directory.
        self.place = folder.path.resolve()
        self.outcome = Outcome(prepared.story, folder, prepared.checked.licences)

    def run(self) -> PipelineSummary:
        outcome = self.outcome
        check_products(self.folder.path, outcome.done)
        if self.search_device and outcome.left:
            # TensorFlow's threads cannot change later. Were they left to the first chapter that asks, a
            # resumed story would round otherwise than one that was not interrupted.
            prepare_device(Device(self.search_device), 1)
        if not outcome.submitted:
            self._try_early_submission()
        outcome.restore_submission()
        try:
            with self.alarm.interrupting():
                for chapter in self.story.chapters:
                    if chapter.name not in outcome.done and not outcome.waits(chapter):
                        self._try_chapter(chapter)
        except TimeIsUpError:
            self.folder.journal.append({"event": "time is up"})
        words = outcome.end()
        submission = self.folder.path / SUBMISSION_FILE
        return PipelineSummary(
            self.folder.path,
            submission if submission.is_file() else None,
            self.folder.path / REPORT_FILE,
            tuple(outcome.done),
            outcome.left,
            words,
        )

    def _try_early_submission(self) -> None:
        """Make plan B; note its failure, since the chapters may succeed where it did not."""
        try:
            make_early_submission(self.story, self.place, quiet=self.quiet, say=self.say)
        except (EfnComposeError, OSError) as error:
            self.folder.journal.append({"event": "plan B failed", "words": str(error)})
            self.say(f"plan B: failed. {error}")

    def _try_chapter(self, chapter: Chapter) -> None:
        """Run a chapter; note its failure, so that chapters that do not read it go on."""
        try:
            self._run_chapter(chapter)
        except Exception as error:
            self.outcome.fail(chapter, error)
            self.say(f"{chapter.name}: failed. {error}")

    def _run_chapter(self, chapter: Chapter) -> None:
        if self.alarm.is_over():
            raise TimeIsUpError
        place = self.folder.path / chapter.name
        settings = with_products(chapter, self._files) | {"run.path": str(place)}
        verb = CHAPTER_VERBS[chapter.verb]
        is_begun = verb.has_folder and (place / ENVIRONMENT_FILE).is_file()
        self.say(f"{chapter.name}: {chapter.verb}{', going on' if is_begun else ''}")
        with attempting(self.folder, chapter.name) as attempt, ExitStack() as until_it_ends:
            own = float(settings.get("budget.hours", 0))
            hours = shorter_hours(own, self.alarm.hours_left())
            if chapter.verb == "ensemble" and self.alarm.hours_left():
                # It ends by itself, with what it has.
                settings["budget.hours"] = hours
                until_it_ends.enter_context(self.alarm.silent())
            ended = verb.run(overrides_of(settings), is_begun, self.quiet)
            self.outcome.hand_in(chapter, ended.products)
            # A chapter that its own budget has ended has done what the story says.
            if not ended.is_whole and hours != own:
                self.folder.journal.append({"event": "cut short", "cut_short": chapter.name})
                raise TimeIsUpError
            self._keep(chapter, ended, attempt)

    def _files(self, key: str, found: Reference) -> list[str]:
        kind = product_kind(self.story[found.chapter], key, found.product)
        path = str(self.place / self.outcome.done[found.chapter]["products"][kind])
        # Donors are called what their chapters are called, in reports and on the card.
        name = free_name(found.chapter, (), is_reserved)
        return [f"{name}={path}" if key == "donors.files" else path]

    def _keep(self, chapter: Chapter, ended: Ended, attempt: Attempt) -> None:
        root, timing = self.folder.path, attempt.timing()
        products = {
            kind: path.absolute().relative_to(root.absolute()).as_posix()
            for kind, path in ended.products.items()
        }
        line = {
            "chapter": chapter.name,
            "verb": chapter.verb,
            "headline": ended.headline,
            "words": ended.words,
            "products": products,
            "hashes": {kind: fingerprint(path) for kind, path in ended.products.items()},
            "timing": timing,
        }
        self.outcome.keep(chapter, line)
        self.say(f"{chapter.name}: {ended.headline}  ({timing['seconds']:,.0f} s)")
