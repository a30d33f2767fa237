"""The actors below an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor import Child, Crashed, ExitReason, Supervisor, SupervisorSpec
from supervisor.errors import to_exception

if TYPE_CHECKING:
    from actors.runtime.cell import Cell

__all__ = ["Children"]

_SPEC = SupervisorSpec(dynamic=True)


class Children:
    """One incarnation's children, under a supervisor that ends with it.

    Attributes:
        supervisor: keeps them alive; when it gives up, that is their parent's crash (S4).
    """

    __slots__ = ("_cell", "_child", "supervisor")

    def __init__(self, cell: Cell, child: Child) -> None:
        system = cell.system
        self._cell = cell
        self._child = child
        self.supervisor = Supervisor(_SPEC, path=cell.path, clock=system.clock, sink=system.sink)
        self.supervisor.on_end = self._gave_up
        self.supervisor.begin()
        child.nested = self.supervisor

    def _gave_up(self, reason: ExitReason) -> None:
        error = to_exception(reason)
        if error is not None:
            self._cell.crash_with(error)

    async def stop(self, deadline: float | None) -> None:
        """Stop them, side by side, by ``deadline`` (a point on the system's clock).

        Raises:
            SystemExit, KeyboardInterrupt: one of them raised it while it stopped.
        """
        supervisor = self.supervisor
        supervisor.on_end = None
        supervisor.request_stop(deadline)
        try:
            reason = await supervisor.wait()
        except BaseException:
            # Out of time: they are cancelled, and nobody is left behind unwatched.
            supervisor.request_stop(self._cell.system.clock.time())
            await supervisor.wait()
            raise
        if isinstance(reason, Crashed) and reason.fatal:
            raise reason.cause
