"""Plays scenarios, round by round."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.benchmarks.consumer import Result
from tests.benchmarks.drivers import DRIVERS
from tests.benchmarks.figures import Figures, figures_of
from tests.benchmarks.jobs import Job, channel_names
from tests.benchmarks.places import Place, place_of
from tests.benchmarks.scenarios import Scenario

__all__ = ["play", "quick_form"]


def quick_form(scenario: Scenario) -> Scenario:
    """Return it with fewer rounds, and those who play in the quick form."""
    return msgspec.structs.replace(
        scenario,
        rounds=scenario.quick,
        contestants=[one for one in scenario.contestants if one.quick],
    )


def play(scenario: Scenario, progress: Callable[[str], None]) -> Figures:
    """Play all rounds; a contestant that is not to be had, or fails, plays no further round."""
    rounds: list[list[Result]] = []
    out: dict[int, Result] = {}
    everyone = range(len(scenario.contestants))
    with place_of(scenario.job) as place:
        for number in range(scenario.rounds):
            progress(f"{scenario.title}: round {number + 1} of {scenario.rounds}")
            playing = [player for player in everyone if player not in out]
            jobs = [_job(scenario, player, place) for player in playing]
            found = DRIVERS[scenario.job.mode](jobs, place)
            played = dict(zip(playing, found, strict=True))
            out |= {n: r for n, r in played.items() if "absent" in r or "error" in r}
            rounds.append([played.get(player) or out[player] for player in everyone])
    return figures_of(scenario, rounds)


def _job(scenario: Scenario, player: int, place: Place) -> Job:
    contestant = scenario.contestants[player]
    job = scenario.job.with_(
        module=contestant.module,
        play=contestant.play,
        player=player,
        url=place.url,
        burst=max(min(100, scenario.job.burst), int(scenario.job.burst * contestant.share)),
        **contestant.changes,
    )
    if job.by != "shard":
        return job
    nodes: dict[str, list[int]] = {url: [] for url in place.primaries}
    for number, name in enumerate(channel_names(job)):
        nodes[place.owner(name)].append(number)
    return job.with_(nodes=nodes)
