"""A fleet on a Ray cluster, seen from a program that deploys it.

The members are actors with names, which live on when the program ends. Nothing else is kept: who
deploys the same fleet again, from anywhere, finds the members that there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.worker.ray.member import App, Deployment, Member, MemberStatus
from actors.worker.run.exit_codes import UsageError
from actors.worker.run.lifecycle import Drained

#: Where Ray keeps the names of members.
_NAMESPACE: Final = "mailslot"
#: Seconds that a member may take for its exit, beyond its drain.
_GRACE: Final = 5.0
#: Calls that a member answers side by side: none of them waits for another one.
_CALLS: Final = 8


def deploy(
    app: App,
    members: int = 1,
    *,
    spread: bool = True,
    fleet: str | None = None,
    url: str | None = None,
    max_restarts: int = -1,
    cpus: float = 1.0,
    options: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
) -> Fleet:
    """Have a fleet of so many members on the Ray cluster that this program is connected to.

    Members that there are already stay as they are.

    Args:
        app: ``module:app``, as for ``mailslot run``, or a function that returns the Worker.
        members: how many members there shall be.
        spread: place them on different nodes where there is room.
        fleet: the name of the fleet; None: that of ``Worker(fleet=...)``.
        url: the URL of the broker; None: the worker's own.
        max_restarts: how often Ray restarts a member; -1: always.
        cpus: the processors that Ray sets aside for a member.
        options: further options of Ray's actors, ``runtime_env`` and ``resources`` for instance.
        timeout: seconds in which the members must run.

    Raises:
        UsageError, SpecError: the app cannot be run.
        TimeoutError: not all members run in time. They stay, and Ray goes on.
        Exception: what a new member could not start for; the new ones are removed.
    """
    deployment = Deployment(app, fleet, url)
    worker = deployment.worker()
    if worker.fleet is None:
        raise UsageError(f"{worker.name!r} is in no fleet: write Worker(fleet=...) or give fleet=")
    placed = {
        "namespace": _NAMESPACE,
        "lifetime": "detached",
        "max_restarts": max_restarts,
        "max_concurrency": _CALLS,
        "num_cpus": cpus,
        "scheduling_strategy": "SPREAD" if spread else "DEFAULT",
        **(options or {}),
    }
    patience = worker.drain_timeout + worker.shutdown_timeout + _GRACE
    deployed = Fleet(worker.fleet, deployment, placed, patience)
    deployed.scale(members, timeout=timeout)
    return deployed


class Fleet:
    """A fleet on a Ray cluster; :func:`deploy` returns it."""

    def __init__(
        self, name: str, deployment: Deployment, placed: Mapping[str, Any], patience: float
    ) -> None:
        self.name = name
        self._deployment = deployment
        self._placed = placed
        self._patience = patience  # seconds for the drain of a member

    def members(self) -> list[str]:
        """Return the names of the members that Ray keeps running, by their numbers."""
        return [self._name(number) for number in self._numbers()]

    def scale(self, members: int, *, timeout: float = 60.0) -> None:
        """Have so many members: start new ones, or drain those with the highest numbers.

        Raises:
            TimeoutError, Exception: as for :func:`deploy`.
        """
        if members < 0:
            raise ValueError(f"a fleet has 0 members or more, not {members}")
        present = self._numbers()
        self._end(present[members:])
        free = [number for number in range(members) if number not in present]
        self._begin(free[: max(0, members - len(present))], timeout)

    def drain(self) -> dict[str, Drained | None]:
        """Drain and remove all members; return how that ended, None for one that did not answer."""
        return self._end(self._numbers())

    def status(self, *, timeout: float = 5.0) -> list[MemberStatus]:
        """Return how each member is; they have ``timeout`` seconds to say so."""
        actors = self._actors(self._numbers())
        asked = {name: actor.report.remote(timeout / 2) for name, actor in actors}
        return [
            MemberStatus(name, "unreachable") if reply is None else reply
            for name, reply in _replies(asked, timeout).items()
        ]

    # -- the actors of Ray -------------------------------------------------------------------------

    def _name(self, number: int | str) -> str:
        return f"{self.name}-{number}"

    def _numbers(self) -> list[int]:
        named = ray.util.list_named_actors(all_namespaces=True)
        names = [one["name"] for one in named if one["namespace"] == _NAMESPACE]
        prefix = self._name("")
        parts = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return sorted(int(part) for part in parts if part.isdecimal())

    def _actors(self, numbers: Iterable[int]) -> Iterator[tuple[str, Any]]:
        for name in map(self._name, numbers):
            try:
                actor = ray.get_actor(name, namespace=_NAMESPACE)
            except ValueError:  # gone since its name was read
                continue
            yield name, actor

    def _begin(self, numbers: Iterable[int], timeout: float) -> None:
        make = ray.remote(Member)
        begun = {}
        for name in map(self._name, numbers):
            begun[name] = make.options(name=name, **self._placed).remote(name, self._deployment)
        waiting = [actor.wait_started.remote() for actor in begun.values()]
        try:
            ray.get(waiting, timeout=timeout)
        except GetTimeoutError:
            ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            raise TimeoutError(
                f"{len(waiting) - len(ready)} of {len(waiting)} new members of {self.name!r} do not"
                f" run after {timeout:g} s: Ray has no room for them, or their start takes longer"
            ) from None
        except BaseException:
            for actor in begun.values():
                ray.kill(actor, no_restart=True)
            raise

    def _end(self, numbers: Iterable[int]) -> dict[str, Drained | None]:
        actors = dict(self._actors(numbers))
        draining = {name: actor.drain.remote() for name, actor in actors.items()}
        drained = _replies(draining, self._patience)
        for actor in actors.values():
            ray.kill(actor, no_restart=True)
        return drained


def _replies(asked: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Return what came within ``timeout``, by name; None for what did not, or an error of Ray."""
    if asked:
        ray.wait([*asked.values()], num_returns=len(asked), timeout=timeout)
    replies = dict.fromkeys(asked)
    for name, reply in asked.items():
        with contextlib.suppress(RayError):
            replies[name] = ray.get(reply, timeout=0)
    return replies
