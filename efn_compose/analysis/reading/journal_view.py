"""A run folder as a reader sees it: everything readable, and a list of missing or damaged files.

Nothing here raises because of a run's state. A run that is going on, was killed, or lost
files still gives a view; what could not be read stands in `RunView.problems`.
"""

import json
import os
import socket
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from efn_compose.analysis.reading.composition.genomes import NUMBERS_DONORS, GenomeReader
from efn_compose.analysis.reading.evaluation_view import EvaluationView, read_evaluations
from efn_compose.analysis.reading.stored_values import (
    check_spec_fields,
    checked_data,
    checked_result,
    is_donor,
)
from efn_compose.arch import ArchSpec, inventory
from efn_compose.errors import EfnComposeError, RunError
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.kinds.table import KINDS, SearchOptions
from efn_compose.evolve.run_config import RunConfig
from efn_compose.settings.build import read_section
from efn_compose.settings.renamed import translate
from efn_compose.store.run_folder import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    JOURNAL_FILE,
    LOCK_FILE,
    RESULT_FILE,
    named_folder,
)
from efn_compose.store.run_verb import verb_of_folder

DONORS_FILE = "donors.json"
DATA_FILE = "data.json"

_ALONE = "Its page is drawn where it is named alone, without --follow and --serve."
#: Where the results of another verb's folder are.
_OTHER_VERBS = {
    "pretrain": _ALONE,
    "study": _ALONE,
    "ensemble": "Its page, report.html, is drawn by the ensemble itself when it ends.",
    "policy": "Its results are policy.toml and result.json.",
    "train": "Its results are leaderboard.md, assessment.txt and, of masks, masks.html.",
}

Status = Literal["finished", "going on", "interrupted"]
Section = TypeVar("Section")


@dataclass(frozen=True)
class DonorView:
    """One donor as the run folder describes it.

    Args:
        number: Its number in genomes.
        name: Its name.
        fingerprint: SHA-256 of network, conventions and tensors; empty where unknown.
        provenance: Where the weights come from.
    """

    number: int
    name: str
    fingerprint: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_state(self) -> bool:
        """Whether it is a state of a training of this run, numbered as donors are for averages."""
        return "trained" in self.provenance


@dataclass(frozen=True)
class RunView:
    """Everything a run folder says.

    Args:
        path: The folder.
        config: Resolved configuration by section, in today's names.
        environment: What `environment.json` holds.
        evaluations: The journal, in order.
        donors: All donors; where `donors.json` is missing, as many as genomes name.
        spec: The network, None where unknown.
        variant: Its name, empty where unknown.
        granularity: What a gene decides ("block", "stage_share"); empty where unknown.
        loci: Name and segments of each gene; of a block's units together where each has one.
        data: What `data.json` holds.
        result: What `result.json` holds; empty while there is no verdict.
        owner: The process that works in the folder now, in words; empty for none.
        problems: Missing or damaged files, one sentence each.
        lineages: Per donor, the number of its lineage; empty where unknown.
        flags: What a person must know about lineages that are mixed, one sentence each.
        ancestor: Of a search over shares, the number of the donor that all descend from.
    """

    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    evaluations: tuple[EvaluationView, ...]
    donors: tuple[DonorView, ...]
    spec: ArchSpec | None
    variant: str
    granularity: str
    loci: tuple[tuple[str, tuple[str, ...]], ...]
    data: Mapping[str, Any]
    result: Mapping[str, Any]
    owner: str
    problems: tuple[str, ...]
    lineages: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()
    ancestor: int = 0

    @property
    def name(self) -> str:
        """Name of the run folder."""
        return self.path.name

    @property
    def status(self) -> Status:
        """Whether the run is finished, going on, or was interrupted."""
        if self.result:
            return "finished"
        return "going on" if self.owner else "interrupted"

    @cached_property
    def kind(self) -> SearchKind | None:
        """The kind of search with its settings; None where the configuration does not say."""
        if not self.config:
            return None
        name = self.setting("search", "kind", SearchOptions().kind)
        kind = KINDS.get(name) if isinstance(name, str) else None
        return None if kind is None else self.section(kind.name, kind)

    @property
    def trains_on(self) -> bool:
        """Whether trained candidates became donors, so that the written weights may be trained."""
        return self.kind is not None and self.kind.trains_on

    def section(self, name: str, options: type[Section]) -> Section | None:
        """Return a section of the configuration; None where it is not one.

        Args:
            name: Of the section; one that is missing has its defaults.
            options: Its dataclass. Settings that this does not know are passed over.
        """
        return read_section(self.config.get(name, {}), options)

    def setting(self, section: str, key: str, default: object = None) -> Any:
        """Return a configuration value."""
        table = self.config.get(section)
        return table.get(key, default) if isinstance(table, dict) else default

    def donor_name(self, number: float) -> str:
        """Return a donor's name by its number."""
        index = int(number)
        return self.donors[index].name if 0 <= index < len(self.donors) else f"donor {index}"

    @property
    def founders(self) -> tuple[DonorView, ...]:
        """The donors that the search began with: files, and siblings made of them."""
        return tuple(donor for donor in self.donors if not donor.is_state)

    @cached_property
    def genomes(self) -> GenomeReader:
        """Knows what genomes mean."""
        return GenomeReader(
            self.spec,
            self.loci,
            self.granularity,
            len(self.donors),
            self.lineages,
            self.ancestor,
        )

    @cached_property
    def by_phase(self) -> dict[str, tuple[EvaluationView, ...]]:
        """Evaluations by phase, phases in the order of the run."""
        found: dict[str, list[EvaluationView]] = {}
        for evaluation in self.evaluations:
            found.setdefault(evaluation.phase, []).append(evaluation)
        return {phase: tuple(evaluations) for phase, evaluations in found.items()}


def read_run(path: str | os.PathLike[str]) -> RunView:
    """Read a run folder in any state, without changing it.

    Args:
        path: The run folder.

    Raises:
        RunError: There is no such folder, nothing of a run is in it, or another verb made it.

    Example:
        >>> read_run("runs/quickstart").status  # doctest: +SKIP
        'finished'
    """
    path = named_folder(path)
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder.")
    known = (CONFIG_FILE, ENVIRONMENT_FILE, JOURNAL_FILE, RESULT_FILE, DONORS_FILE)
    if not any((path / name).is_file() for name in known):
        raise RunError(f"{path}: not a run folder; it holds none of {', '.join(known)}.")
    _refuse_other_verbs(path)
    problems: list[str] = []
    evaluations = read_evaluations(path / JOURNAL_FILE, problems)
    result = checked_result(_read_object(path / RESULT_FILE, problems, is_expected=False), problems)
    described = _read_object(path / DONORS_FILE, problems, is_expected=bool(evaluations))
    spec = _read_spec(described, problems)
    return RunView(
        path=path,
        config=_read_config(path / CONFIG_FILE, problems),
        environment=_read_object(path / ENVIRONMENT_FILE, problems),
        evaluations=evaluations,
        donors=_read_donors(described, evaluations),
        spec=spec,
        variant=str(described.get("variant", spec.variant if spec else "")),
        granularity=str(described.get("granularity", "")),
        loci=_read_loci(described, problems),
        data=checked_data(
            _read_object(path / DATA_FILE, problems, is_expected=bool(evaluations)), problems
        ),
        result=result,
        owner=_read_owner(path / LOCK_FILE),
        problems=tuple(problems),
        lineages=_read_lineages(described),
        flags=_read_flags(result),
        ancestor=_read_ancestor(described),
    )


def _refuse_other_verbs(path: Path) -> None:
    """Raise `RunError` where the configuration is that of another verb; a damaged one says nothing."""
    verb = verb_of_folder(path)
    if verb in _OTHER_VERBS:
        raise RunError(
            f"{path}: a run folder of `efn-compose {verb}`, not of a search. {_OTHER_VERBS[verb]}"
        )


def _read_flags(found: Mapping[str, Any]) -> tuple[str, ...]:
    flags = found.get("flags")
    return tuple(str(flag) for flag in flags) if isinstance(flags, list) else ()


def _read_ancestor(described: Mapping[str, Any]) -> int:
    found = described.get("ancestor")
    return int(found) if found is not None and is_donor(found) else 0


def _read_lineages(described: Mapping[str, Any]) -> tuple[int, ...]:
    found = described.get("lineages")
    if not isinstance(found, list) or not all(is_donor(number) for number in found):
        return ()
    return tuple(found)


def _read_object(path: Path, problems: list[str], *, is_expected: bool = True) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if is_expected:
            problems.append(f"{path.name} is missing.")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}.")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{path.name} does not hold a JSON object.")
        return {}
    return value


def _read_config(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return translate((tables,), RunConfig.renamed, RunConfig, is_stored=True).tables
    except FileNotFoundError:
        problems.append(f"{path.name} is missing.")
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {error}.")
    return {}


def _read_spec(described: Mapping[str, Any], problems: list[str]) -> ArchSpec | None:
    fields = described.get("spec")
    if fields is None:
        return None
    try:
        check_spec_fields(fields)
        spec = ArchSpec.from_json(fields)
        inventory(spec)
        return spec
    except (TypeError, KeyError, ValueError, AttributeError, EfnComposeError) as error:
        problems.append(f"{DONORS_FILE}: the network cannot be read: {error}.")
        return None


def _read_loci(
    described: Mapping[str, Any], problems: list[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    try:
        return tuple(
            (str(locus["name"]), tuple(str(segment) for segment in locus["segments"]))
            for locus in described.get("loci") or ()
        )
    except (TypeError, KeyError) as error:
        problems.append(f"{DONORS_FILE}: the genome's loci cannot be read: {error!r}.")
        return ()


def _read_donors(
    described: Mapping[str, Any], evaluations: Sequence[EvaluationView]
) -> tuple[DonorView, ...]:
    entries = described.get("donors")
    donors = []
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        fields = entry if isinstance(entry, dict) else {}
        provenance = fields.get("provenance")
        donors.append(
            DonorView(
                number=number,
                name=str(fields.get("name", f"donor {number}")),
                fingerprint=str(fields.get("fingerprint", "")),
                provenance=provenance if isinstance(provenance, dict) else {},
            )
        )
    # Genes of a search over units or shares number other things, too.
    numbers_donors = (described.get("granularity") or "") in NUMBERS_DONORS
    of_donors = [e for e in evaluations if e.kind == "genome" and not e.is_descendant]
    named = {e.values[0]: e.arm for e in of_donors if e.arm and len(set(e.values)) == 1}
    genes = [max(e.values) for e in of_donors if numbers_donors and e.values]
    # More donors in genomes than described: donors.json is missing or older than the journal.
    for number in range(len(donors), min(255, int(max(genes, default=-1)) + 1)):
        donors.append(DonorView(number, named.get(number, f"donor {number}")))
    return tuple(donors)


def _read_owner(path: Path) -> str:
    """Return who holds the lock, from what the lock file says; never takes the lock itself.

    Taking it, even shared and for a moment, could refuse a run that starts just then.
    """
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        pid, host, since = int(owner["pid"]), str(owner["host"]), str(owner["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if host == socket.gethostname() and not _is_alive(pid):
        return ""
    return f"process {pid} on {host} since {since}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
