"""``--reload``: restarts the processes when a Python file changes; for development."""

from __future__ import annotations

from pathlib import Path

from watchfiles import PythonFilter, awatch

from actors.worker.process.parent import Processes
from supervisor.log import get_logger

log = get_logger("mailslot.worker")


async def reload_on_change(processes: Processes) -> None:
    """Restart ``processes`` with each change of a Python file, until cancelled."""
    async for changes in awatch(Path.cwd(), watch_filter=PythonFilter()):
        files = sorted({Path(path).name for _, path in changes})
        log.info("reload", files=files[:5])
        await processes.restart_all(f"reloaded: {', '.join(files[:5])} changed")
