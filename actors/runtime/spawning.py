"""Spawns actors as children of supervisors; the handle of a supervisor among actors."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from actors.runtime.behaviour import ActorSpec, Behaviour
from actors.runtime.cell import Cell, SystemHost
from actors.runtime.incarnation import live
from actors.runtime.messages.errors import ActorError, NameTaken
from actors.runtime.messages.overflow import as_mailbox_spec
from actors.runtime.ref import ActorRef, ref_of
from actors.runtime.registry import Registry
from supervisor import (
    Child,
    ChildSpec,
    ExitReason,
    SpecError,
    Status,
    Strategy,
    Supervisor,
    SupervisorSpec,
    TreeNode,
    supervisor_child,
)
from supervisor.checks import require_loop

M = TypeVar("M")


class SpawningHost(SystemHost, Protocol):
    """What spawning needs of the actor system."""

    registry: Registry


def spawn_under(system: SpawningHost, supervisor: Supervisor, spec: ActorSpec) -> ActorRef[Any]:
    """Spawn an actor below ``supervisor``."""
    require_loop(system.loop, supervisor.path)
    cell, child_spec = _cell(system, supervisor.path, spec)
    cell.child = _start_child(supervisor, child_spec)
    # Last: an actor that could not be spawned must not stay in the registry.
    system.registry.add(cell)
    return ref_of(cell)


def supervise_under(
    system: SpawningHost,
    parent: Supervisor,
    name: str,
    strategy: Strategy | str,
    children: Sequence[ActorSpec],
    options: Mapping[str, Any],
) -> SupervisorRef:
    """Start a supervisor below ``parent``."""
    require_loop(system.loop, parent.path)
    for child_spec in children:
        if not isinstance(child_spec, ActorSpec):
            raise SpecError(name, [f"a child must be an ActorSpec, not {child_spec!r}"])
    made = [_cell(system, f"{parent.path}/{name}", spec) for spec in children]
    spec = SupervisorSpec(strategy=strategy, children=[child for _, child in made], **options)
    child = _start_child(parent, supervisor_child(name, spec))
    for cell, _ in made:
        system.registry.add(cell)
    return SupervisorRef(system, child)


def actor_child(
    system: SpawningHost, parent: str, spec: ActorSpec
) -> tuple[ActorRef[Any], ChildSpec]:
    """Return the reference and the child spec of an actor below the path ``parent``.

    For trees that do not consist of actors alone: the caller starts the child spec.
    """
    cell, child_spec = _cell(system, parent, spec)
    system.registry.add(cell)
    return ref_of(cell), child_spec


def _cell(system: SpawningHost, parent: str, spec: ActorSpec) -> tuple[Cell, ChildSpec]:
    kind = "" if spec.name is not None else getattr(spec.actor, "__name__", "actor")
    name = system.registry.free_name(parent, spec.name, kind)
    cell = Cell(
        f"{parent}/{name}",
        system,
        as_mailbox_spec(spec.mailbox),
        on_failure=spec.on_failure,
        describe=spec.describe,
    )
    life = _Life(system.registry, spec, cell)
    child_spec = ChildSpec(
        id=name,
        start=life,
        restart=spec.restart,
        shutdown=spec.shutdown,
        retry_policy=spec.retry_policy,
        start_timeout=spec.start_timeout,
        significant=spec.significant,
        kind="actor",
        on_gone=life.gone,
    )
    return cell, child_spec


class _Life:
    """All incarnations of one actor: its supervisor calls it to start each of them.

    An object, and no functions with arguments bound to them: every object that stays is one more
    for the garbage collector to look at, and there may be many actors.
    """

    __slots__ = ("_cell", "_registry", "_spec")

    def __init__(self, registry: Registry, spec: ActorSpec, cell: Cell) -> None:
        self._registry = registry
        self._spec = spec
        self._cell = cell

    def __call__(self, child: Child) -> Coroutine[Any, Any, None]:
        cell = self._cell
        if cell.ended is not None:  # it comes back with its supervisor
            self._registry.add(cell)
        return live(self._spec, cell, child)

    def gone(self, reason: ExitReason) -> None:
        """Take that no incarnation will follow."""
        self._cell.gone(reason)
        self._registry.forget(self._cell)


def _start_child(supervisor: Supervisor, spec: ChildSpec) -> Child:
    """Start a child, in the place of one with its id that ended for good."""
    try:
        return supervisor.start_child(spec)
    except SpecError:
        child = supervisor.child(spec.id)
        if child is None:
            raise
        if child.wanted or child.status is not Status.DOWN:
            taken = f"{child.path}: a child has this name: stop it, or use another one"
            raise NameTaken(taken) from None
    supervisor.delete_child(spec.id)
    return supervisor.start_child(spec)


class SupervisorRef:
    """A supervisor below the root, or below another one."""

    __slots__ = ("_child", "_system")

    def __init__(self, system: SpawningHost, child: Child) -> None:
        self._system = system
        self._child = child

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return self._child.path

    async def started(self) -> None:
        """Wait until all children of its spec run.

        Raises:
            StartError: one of them failed to start.
        """
        await self._child.wait_started()

    @overload
    def spawn(self, actor: ActorSpec, **options: Any) -> ActorRef[Any]: ...
    @overload
    def spawn(
        self, actor: Callable[..., Behaviour[M]], *args: Any, **options: Any
    ) -> ActorRef[M]: ...
    def spawn(
        self, actor: Callable[..., Behaviour[Any]] | ActorSpec, *args: Any, **options: Any
    ) -> ActorRef[Any]:
        """Spawn an actor as its last child; as :meth:`ActorSystem.spawn`.

        As in OTP, a child added this way is not there again after the supervisor itself restarted.
        """
        spec = ActorSpec.of(actor, args, options)
        return spawn_under(self._system, self._supervisor, spec)

    def supervisor(
        self,
        name: str,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        children: Sequence[ActorSpec] = (),
        **options: Any,
    ) -> SupervisorRef:
        """Start a supervisor below this one; as :meth:`ActorSystem.supervisor`.

        As with :meth:`spawn`, it is not there again after this one restarted.
        """
        return supervise_under(self._system, self._supervisor, name, strategy, children, options)

    def ref(self, name: str) -> ActorRef[Any] | None:
        """Return the child actor called ``name``, or None."""
        return self._system.registry.lookup(f"{self.path}/{name}")

    async def stop(self) -> None:
        """Stop it and all below it for good."""
        owner = self._child.owner
        assert isinstance(owner, Supervisor)
        await owner.stop_child(self._child.spec.id)

    def tree(self) -> TreeNode:
        """Return the supervisor and all below it, as a value."""
        return self._supervisor.tree()

    @property
    def _supervisor(self) -> Supervisor:
        nested = self._child.nested
        if not isinstance(nested, Supervisor):
            raise ActorError(f"{self.path} has not started yet: await started() first")
        return nested
