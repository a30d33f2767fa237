"""Part ``cancel``: every call, cancelled in every round of the event loop until it ends by itself.

Each scene is played once without a cut, which counts its rounds. Then all moments of all scenes are
tried, in an order that the seed decides.
"""

from __future__ import annotations

from tests.fuzz.judge import Judge
from tests.fuzz.places import Place
from tests.fuzz.rounds import Cut
from tests.fuzz.scenes import SCENES

__all__ = ["play"]

# Rounds beyond those of the first run: how often sockets are ready differs a little.
_MORE = 3


async def play(judge: Judge, place: Place) -> None:
    """Cut every scene at every moment, until all are done or the time is up."""
    moments: list[str] = []
    for name, scene in SCENES.items():
        whole = Cut(judge.selector, None)
        await judge.play(f"{name} whole", scene(judge, place, whole))
        moments += [f"{name} {rounds}" for rounds in range(whole.rounds + _MORE)]
    judge.random().shuffle(moments)
    for moment in judge.steps(moments):
        name, rounds = moment.split()
        cut = Cut(judge.selector, int(rounds))
        await judge.play(moment, SCENES[name](judge, place, cut))
        judge.ends["cancelled" if cut.fired else "ended before"] += 1
