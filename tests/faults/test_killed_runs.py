"""Runs that are killed again and again go on each time, and end as if nobody had touched them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.faults.campaign import STAGES, Campaign, Undisturbed, fight
from tests.faults.small_runs import Framework

SEEDS = 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Undisturbed]:
    """A run of each framework."""
    return [Undisturbed(framework, tmp_path_factory.mktemp(framework)) for framework in get_args(Framework)]


@pytest.fixture(scope="module")
def fought() -> list[Campaign]:
    """What became of the seeds so far."""
    return []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_run_that_is_killed_at_random_ends_as_the_undisturbed_one(
    seed: int, undisturbed: list[Undisturbed], fought: list[Campaign], tmp_path: Path
) -> None:
    fought.append(fight(undisturbed[seed % len(undisturbed)], seed, tmp_path))


def test_kills_hit_every_stage(fought: list[Campaign]) -> None:
    if len(fought) < SEEDS:
        pytest.skip("only after all seeds")
    assert {kill.stage for campaign in fought for kill in campaign.kills} == set(STAGES)
