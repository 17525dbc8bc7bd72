"""The steady-state search's decisions: one genome asked, one loss told, nobody waits.

Common seeds without generations: asks are numbered, and so many of them in a row
form a *wave* that shares one seed. A wave begins by running the elites and the
best donor again, as a generation does. The scores of its other genomes are held back
until most of these links are known, since only then can the wave's luck be told
from merit; workers never wait for it, they get children of what is known.
"""

from collections import deque
from dataclasses import dataclass, field

from efn_compose.compose import Genome, GenomeSpace
from efn_compose.evolve.genetic.breeding import Known, draw
from efn_compose.evolve.genetic.search import Breeds, GeneticSearch

#: Beliefs are formed anew after this share of new answers: rarely once there are many.
_NEWS = 0.01


@dataclass
class _Wave:
    """Answers of one wave that wait for its links."""

    links: set[Genome]
    known_links: int = 0
    is_open: bool = False
    held: dict[Genome, float | None] = field(default_factory=dict)


class SteadySearch(GeneticSearch):
    """Ask for one genome at a time, tell one loss at a time, in any order.

    Everything asked depends on the asks and the tells before it, and on nothing else.

    Args:
        space: The genome space.
        settings: Population (also the length of a wave), elites, where newcomers come from.
        seed: Decides everything together with the order of asks and tells.
        noise: Variance of a score over seeds and its degrees of freedom, as measured.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> from efn_compose.evolve.kinds.steady import Steady
        >>> space = GenomeSpace(arch_spec("lite0"), 2, "stage")
        >>> search = SteadySearch(space, Steady(population=4), seed=1)
        >>> for number in range(12):
        ...     genome, wave = search.ask_one()
        ...     search.tell_one(number, float(sum(genome)))
        >>> search.best() == space.pure(0), wave
        (True, 2)
    """

    def __init__(
        self,
        space: GenomeSpace,
        settings: Breeds,
        seed: int,
        noise: tuple[float, int] = (0.0, 0),
    ) -> None:
        super().__init__(space, settings, seed, noise)
        self.wave = 0
        #: The genome believed best when beliefs were last formed.
        self.believed_best: Genome | None = None
        # The elites, the best donor and a child at least.
        self._size = max(settings.population, settings.elites + 2)
        self._queue = deque(self._first())
        self._left = max(self._size, len(self._queue))
        self._waves = {0: _Wave(links=set(), is_open=True)}
        self._next_wave = 1
        self._asked = self._told = self._formed = 0
        self._pending: dict[int, tuple[Genome, int]] = {}
        #: Asked for, and not in the table yet.
        self._open: set[Genome] = set()
        self._asked_for = Known(self.table, self._open)
        self._parents: dict[Genome, float] = {}
        self._links: list[Genome] = []

    def ask_one(self) -> tuple[Genome, int] | None:
        """Return the next genome and its wave; None where nothing new can be found."""
        if not self._queue and self._left <= 0 and self._parents:
            self._begin_wave()
        genome = self._queue.popleft() if self._queue else self._child()
        if genome is None:
            return None
        self._left -= 1
        self._open.add(genome)
        self._pending[self._asked] = genome, self.wave
        self._asked += 1
        return genome, self.wave

    def tell_one(self, number: int, loss: float | None, solved: str = "") -> None:
        """Take the loss of the ask of that number, counted from 0; None is a failure.

        Args:
            number: Of the ask.
            loss: None after a failure.
            solved: The images that were right, where they were asked for.
        """
        genome, number_of_wave = self._pending.pop(number)
        if solved:
            self.breeder.note(genome, solved)
        wave = self._waves[number_of_wave]
        wave.held[genome] = loss
        wave.known_links += genome in wave.links
        self._told += 1
        self._open_waves()
        if wave.is_open:
            self._pass_on(number_of_wave)
        if self._told - self._formed >= max(1, _NEWS * self._told):
            self._form_beliefs()

    def _begin_wave(self) -> None:
        self.wave += 1
        self.generation = self.wave
        self._waves[self.wave] = _Wave(links=set(self._links))
        self._queue.extend(self._links)
        self._left = self._size

    def _child(self) -> Genome | None:
        """Return a genome never asked before: bred, or drawn where nothing is known yet."""
        known, space, generator = self._asked_for, self.space, self._generator
        if not self._parents:
            children = draw(space, known, 1, generator)
        else:
            children = self.breeder.children(self._parents, known, 1, space, generator)
        return children[0] if children else None

    def _open_waves(self) -> None:
        """Open waves, in order, whose links are mostly known: a straggler holds up nobody."""
        while self._next_wave in self._waves:
            wave = self._waves[self._next_wave]
            if 2 * wave.known_links <= len(wave.links):
                return
            wave.is_open = True
            self._pass_on(self._next_wave)
            self._next_wave += 1

    def _pass_on(self, number: int) -> None:
        """Give an open wave's answers to the table."""
        held = self._waves[number].held
        if number < len(self.table.generation_effects):
            self.table.add_to_generation(number, held)
        elif held:
            self.table.add_generation(held)
        self._open.difference_update(held)
        held.clear()

    def _form_beliefs(self) -> None:
        self._formed = self._told
        settings = self.settings
        leaders = self.table.leaders(max(settings.population, settings.elites))
        if not leaders:
            return
        ranked = list(leaders)
        self.believed_best = ranked[0]
        self._parents = {g: leaders[g] for g in ranked[: settings.population]}
        best_donor = self.best_donor()
        self._links = list(dict.fromkeys([*ranked[: settings.elites], best_donor]))
