"""Genomes as bytes: nothing is lost, nothing meets, and a long search stays small."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.packed_genomes import pack, unpack

genomes = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 300), max_size=40).map(tuple)


@given(genomes, genomes)
def test_bytes_hold_the_genome_and_tell_genomes_apart(one, other):
    assert unpack(pack(one)) == one
    assert (pack(one) == pack(other)) == (one == other)


def test_what_is_no_gene_is_refused():
    with pytest.raises(OverflowError):
        pack((0, -1))


@pytest.mark.slow
def test_a_long_search_takes_little_memory_per_genome():
    generator = random.Random(1)
    drawn = [tuple(generator.randrange(6) for _ in range(18)) for _ in range(5_000)]
    # As tuples alone, without any score: 40 bytes of a tuple's own and 8 per gene.
    tuples = 40 + 8 * 18
    table = FitnessTable()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for start in range(0, len(drawn), 100):
        table.add_generation({g: generator.gauss(1, 0.1) for g in drawn[start : start + 100]})
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(table) == len(set(drawn))
    assert taken / len(table) < 1.3 * tuples


def test_a_table_counts_each_genome_once_whether_it_failed_or_not():
    table = FitnessTable()
    table.add_generation({(0,): 1.0, (1,): None, (300,): 2.0})
    table.add_generation({(0,): None, (1,): None, (2,): 3.0})
    assert len(table) == 4 == len(table.genomes)
    assert all(genome in table for genome in table.genomes)
    assert (3,) not in table
    assert table.mean() == 2.5  # of (300,) and (2,): the others failed
