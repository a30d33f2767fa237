"""Actors as children of supervisors, and supervisors as users of actors see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actors.runtime.errors import ActorError
from actors.runtime.spec import ActorSpec
from supervisor import Child, ChildSpec, Strategy, Supervisor, TreeNode

if TYPE_CHECKING:
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import ActorSystem

__all__ = ["SupervisorRef", "actor_child"]


def actor_child(cell: Cell) -> ChildSpec:
    """Return ``cell`` as a child spec."""
    spec = cell.spec
    return ChildSpec(
        id=cell.path.rpartition("/")[2],
        start=cell.run,
        restart=spec.restart,
        shutdown=spec.shutdown,
        retry_policy=spec.retry_policy,
        start_timeout=spec.start_timeout,
        significant=spec.significant,
        kind="actor",
        on_gone=cell.gone,
    )


class SupervisorRef:
    """A supervisor below the root, or below another one."""

    def __init__(self, system: ActorSystem, child: Child) -> None:
        self._system = system
        self._child = child

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return self._child.path

    async def started(self) -> None:
        """Wait until all its first children run.

        Raises:
            StartError: one of them failed to start.
        """
        await self._child.wait_started()

    def spawn(self, actor: Any, *args: Any, **options: Any) -> ActorRef[Any]:
        """Spawn an actor as its last child; as :meth:`ActorSystem.spawn`.

        As in OTP, a child added this way is not there again after the supervisor itself restarted.
        """
        return self._system.spawn_under(self._supervisor, ActorSpec.of(actor, args, options))

    def supervisor(
        self,
        name: str,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        children: Sequence[ActorSpec] = (),
        **options: Any,
    ) -> SupervisorRef:
        """Start a supervisor below this one; as :meth:`ActorSystem.supervisor`."""
        return self._system.supervise_under(self._supervisor, name, strategy, children, options)

    def ref(self, name: str) -> ActorRef[Any] | None:
        """Return the child actor called ``name``, or None."""
        return self._system.lookup(f"{self.path}/{name}")

    async def stop(self) -> None:
        """Stop it and all below it for good."""
        owner = self._child.owner
        assert isinstance(owner, Supervisor)
        await owner.stop_child(self._child.spec.id)

    def tree(self) -> TreeNode:
        """Return what runs below it."""
        return self._supervisor.tree()

    @property
    def _supervisor(self) -> Supervisor:
        nested = self._child.nested
        if nested is None:
            raise ActorError(f"{self.path} has not started yet: await started() first")
        return nested
