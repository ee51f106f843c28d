"""Damaged files of every kind: what is sealed by checksums never reads wrong, and only `VolconvError` comes out."""

import random

import pytest

from tests.hostile.campaign import Attack, mutate, run_apart
from tests.hostile.carriers import CARRIERS

FEW = 40
MANY = 2000


@pytest.mark.parametrize("kind", CARRIERS)
def test_few_mutations(kind, tmp_path):
    check(Attack(kind, tmp_path, seed=7).go_on(FEW), kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CARRIERS)
def test_many_mutations(kind):
    tally = run_apart(kind, MANY, seed=1)
    check(tally, kind)
    assert tally.mutations == MANY
    assert tally.mebibytes < 256


def check(tally, kind):
    assert tally.faults == []
    assert tally.escaped == 0
    assert not (CARRIERS[kind].sealed and tally.wrong)
    assert tally.refused > tally.mutations / 10
    assert tally.seconds < 5


def test_mutations_follow_the_seed_and_change_something():
    content = bytes(range(256)) * 8
    made = [mutate(random.Random(seed), content) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert content not in made
