"""Made-up run folders for the report's tests: every file the main job writes, any state."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

from efn_compose.arch import arch_spec
from efn_compose.compose import Recipe, genome_space
from efn_compose.evolve.verdict.verdict import Arm, give_verdict

START = 1_770_000_000.0
FINAL_SEEDS = (101, 102, 103, 104, 105)


class MadeUpRun:
    """Draws evaluations of a search whose true fitness is known, and writes the folder.

    Args:
        generations: After the first.
        population: Evaluations per generation.
        names: Donor names.
        variant: Network.
        gain: How much lower the loss of an ideal genome is than the best donor's.
        noise: Standard deviation of one evaluation.
        seed: Of everything.
        workers: Number of workers.
        class_names: Of the data.
        granularity: What one gene moves.
    """

    def __init__(
        self,
        generations: int = 8,
        population: int = 16,
        names: tuple[str, ...] = ("lite1", "lite0", "lite1_sibling1", "lite1_sibling2",
                                  "lite0_sibling1", "lite0_sibling2"),
        variant: str = "lite1",
        gain: float = 0.06,
        noise: float = 0.012,
        seed: int = 3,
        workers: int = 2,
        class_names: tuple[str, ...] = tuple("0123456789"),
        granularity: str = "block",
    ) -> None:  # fmt: skip
        self.random = random.Random(seed)
        self.names, self.noise, self.workers = names, noise, workers
        self.generations, self.population = generations, population
        self.class_names = class_names
        self.space = genome_space(
            arch_spec(variant), len(names), granularity, lineages=(0,) * len(names)
        )
        self.base = [0.42 + 0.035 * number for number in range(len(names))]
        self.ideal = [self.random.randrange(len(names)) for _ in self.space.loci]
        self.gain = gain
        self.records: list[dict[str, Any]] = []
        self.clock = [START + 31.0] * workers
        self.arms: dict[str, Arm] = {}

    def true_loss(self, recipe: Recipe) -> float:
        """Return the loss without luck."""
        if recipe.kind == "average":
            return max(self.base) + 0.25
        genome = recipe.values
        if genome in (pures := [self.space.pure(n) for n in range(len(self.names))]):
            return self.base[pures.index(genome)]
        hits = sum(a == b for a, b in zip(genome, self.ideal, strict=True)) / len(genome)
        switches = sum(a != b for a, b in itertools.pairwise(genome)) / len(genome)
        return self.base[0] + 0.05 + 0.25 * switches - (self.gain + 0.3) * hits

    def evaluate(
        self, phase: str, recipe: Recipe, seed: int, generation: int = 0, arm: str = "",
        parts: tuple[str, ...] = ("validation",), luck: float = 0.0, error: str | None = None,
    ) -> float | None:  # fmt: skip
        """Append one record and return its loss."""
        index = len(self.records)
        loss = self.true_loss(recipe) + luck + self.random.gauss(0, self.noise)
        seconds = {
            "compose": 0.004 + 0.002 * self.random.random(),
            "assign": 0.02,
            "bn": 0.24 + 0.02 * self.random.random(),
            "epoch": 1.1 + 0.15 * self.random.random(),
            "score": 0.12,
        }
        worker = min(range(self.workers), key=lambda number: self.clock[number])
        first = 24.0 if self.clock[worker] == START + 31.0 else 0.0
        wall = sum(seconds.values()) + 0.01 + first
        seconds["epoch"] += first
        self.clock[worker] += wall + 0.003
        scores = {
            part: {
                "loss": round(loss + (0.02 if part == "test" else 0.0), 6),
                "accuracy": round(max(0.0, 1 - loss / 4.5), 6),
            }
            for part in parts
        }
        self.records.append(
            {
                "phase": phase, "generation": generation, "arm": arm, "recipe": recipe.to_json(),
                "seed": seed, "epochs": 1.0, "parts": list(parts), "index": index,
                "scores": {} if error else scores, "train_loss": None if error else loss + 0.3,
                "error": error,
                "timing": {
                    "seconds": {k: round(v, 6) for k, v in seconds.items()},
                    "wall_seconds": round(wall, 6), "worker": worker, "memory_mb": 1450.0 + index % 7,
                    "attempts": 1, "finished": round(self.clock[worker], 3),
                },
            }
        )  # fmt: skip
        return None if error else scores["validation"]["loss"]

    def search(self, failing_rate: float = 0.01) -> "MadeUpRun":
        """Make the noise measurement and all generations."""
        for number in range(5):
            pure = Recipe.genome(self.space.pure(0))
            self.evaluate("noise", pure, 900 + number, arm=self.names[0])
        pures = [self.space.pure(number) for number in range(len(self.names))]
        known: dict[tuple[int, ...], float] = {}
        genomes = list(pures)
        while len(genomes) < max(self.population, len(pures)):
            genomes = list(dict.fromkeys([*genomes, self._walk()]))
        for generation in range(self.generations + 1):
            luck = self.random.gauss(0, 0.02) if generation else 0.0
            for genome in genomes:
                name = self.names[pures.index(genome)] if genome in pures else ""
                error = None
                if self.random.random() < failing_rate and not name:
                    error = "training diverged: validation logits are not finite"
                loss = self.evaluate(
                    "search", Recipe.genome(genome), 5000 + generation, generation, name,
                    luck=luck, error=error,
                )  # fmt: skip
                if loss is not None:
                    known[genome] = min(known.get(genome, 9.0), loss - luck)
            ranked = sorted(known, key=known.get)
            children = []
            while len(children) < self.population - 3:
                one, two = self.random.sample(ranked[: self.population], 2)
                cut = self.random.randrange(len(one))
                child = list(one[:cut] + two[cut:])
                place = self.random.randrange(len(child))
                child[place] = self.random.randrange(self.space.cardinalities[place])
                child = list(self.space.canonical(child))
                if tuple(child) not in known and tuple(child) not in children:
                    children.append(tuple(child))
            genomes = [*dict.fromkeys([*ranked[:2], pures[0]]), *children]
        self.best = sorted(known, key=known.get)[:4]
        return self

    def finals(self) -> "MadeUpRun":
        """Run finalists and rivals on fresh seeds, then the test."""
        found: dict[str, list[dict[str, Any]]] = {}
        both = ("validation", "test")
        rivals = [(n, Recipe.genome(self.space.pure(i))) for i, n in enumerate(self.names)]
        rivals.append(("uniform_average", Recipe.average(len(self.names))))
        for seed in FINAL_SEEDS:
            for number, genome in enumerate(self.best):
                self.evaluate("final", Recipe.genome(genome), seed, arm=f"finalist{number + 1}")
        for seed in FINAL_SEEDS:
            for name, recipe in rivals:
                self.evaluate("final", recipe, seed, arm=name, parts=both)
                found.setdefault(name, []).append(self.records[-1])
        for seed in FINAL_SEEDS:
            self.evaluate("test", Recipe.genome(self.best[0]), seed, arm="composed", parts=both)
            found.setdefault("composed", []).append(self.records[-1])
        for name, records in found.items():
            scores = [record["scores"] for record in records]
            self.arms[name] = Arm(
                name,
                tuple(s["validation"]["loss"] for s in scores),
                tuple(s["test"]["loss"] for s in scores),
                {"accuracy": tuple(s["test"]["accuracy"] for s in scores)},
            )
        return self

    def result(self) -> dict[str, Any]:
        """Return result.json."""
        donors = [self.arms[name] for name in self.names]
        verdict = give_verdict(
            self.arms["composed"], donors, [self.arms["composed"], self.arms["uniform_average"]]
        )
        genome = self.best[0]
        if verdict.winner in self.names:
            genome = self.space.pure(self.names.index(verdict.winner))
        difference = verdict.test
        noise = [r["scores"]["validation"]["loss"] for r in self.records if r["phase"] == "noise"]
        return {
            "schema_version": 1, "winner": verdict.winner, "best_donor": verdict.best_donor,
            "verdict": verdict.words,
            "validation_difference": vars(verdict.validation) if verdict.validation else None,
            "test_difference": vars(difference) if difference else None,
            "arms": {
                name: {"validation_loss": list(arm.validation_loss), "test_loss": list(arm.test_loss),
                       "test_accuracy": list(arm.test_scores["accuracy"])}
                for name, arm in self.arms.items()
            },
            "recipe": Recipe.genome(genome).to_json(),
            "donor_map": dict(self.space.decode(genome).segments),
            "noise": {"arm": self.names[0], "losses": noise, "deviation": 0.01},
            "evaluations": len(self.records),
            "seconds": {"donors": 12.5, "noise": 40.1, "search": 160.0, "final": 49.0,
                        "finish": 0.8},
            "generation_effects": [0.0] * (self.generations + 1),
            "weights": "efn_magic_weights.h5", "weights_sha256": "ab" * 32,
        }  # fmt: skip

    def write(self, folder: Path, *, finished: bool = True) -> Path:
        """Write the run folder."""
        folder.mkdir(parents=True, exist_ok=True)
        config = (
            f"[run]\npath = {json.dumps(str(folder))}\nseed = 7\n\n[data]\nsource = \"digits\"\n"
            "size = 48\n\n[search]\nkind = \"genetic\"\n\n[genetic]\n"
            f"population = {self.population}\ngenerations = {self.generations}\n\n"
            "[fitness]\nepochs = 1.0\n"
        )  # fmt: skip
        (folder / "config.toml").write_text(config, encoding="utf-8")
        environment = {
            "identity": {"config": "c" * 64, "data": "d" * 64, "donors": "e" * 64, "seed": "7"},
            "created": "2026-02-02T02:40:00+00:00", "python": "3.11.7", "machine": "x86_64",
            "platform": "Linux-6.1-x86_64", "cores": 2, "revision": "0123456789abcdef+changes",
            "packages": {"efn_compose": "0.1.0", "tensorflow": "2.21.0", "keras": "3.15.1"},
            "command": ["evolve", "x.toml"],
        }  # fmt: skip
        _write_json(folder / "environment.json", environment)
        _write_json(folder / "donors.json", self._donors())
        counts = {"train": 32, "validation": 40, "test": 80}
        data = {
            "name": "digits", "class_names": list(self.class_names), "size": 48,
            "fingerprint": "f" * 64,
            "counts": {part: [n] * len(self.class_names) for part, n in counts.items()},
        }  # fmt: skip
        _write_json(folder / "data.json", data)
        lines = [json.dumps(record, sort_keys=True) + "\n" for record in self.records]
        (folder / "evaluations.jsonl").write_text("".join(lines), encoding="utf-8")
        (folder / "lock").write_text("")
        if finished:
            _write_json(folder / "result.json", self.result())
        return folder

    def _walk(self) -> tuple[int, ...]:
        donor, genes = self.random.randrange(len(self.names)), []
        for _ in self.space.loci:
            if self.random.random() < 2 / len(self.space.loci):
                donor = self.random.randrange(len(self.names))
            genes.append(donor)
        counts = self.space.cardinalities
        return self.space.canonical([g % n for g, n in zip(genes, counts, strict=True)])

    def _donors(self) -> dict[str, Any]:
        return {
            "variant": self.space.spec.variant, "granularity": self.space.granularity,
            "lineages": list(self.space.lineages),
            "spec": self.space.spec.to_json(),
            "loci": self.space.locus_table,
            "donors": [
                {"name": name, "fingerprint": f"{number:x}" * 64,
                 "provenance": {"source": f"{name}.pth", "sha256": "9" * 64, "dialect": "lite",
                                "licence": "Apache-2.0",
                                **({"sibling": {"of": "0" * 64, "share": 0}} if "sib" in name else {})}}
                for number, name in enumerate(self.names)
            ],
        }  # fmt: skip


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, sort_keys=True, indent=2), encoding="utf-8")
