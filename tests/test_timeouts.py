"""A test that hangs fails alone, and the run goes on to its closing line."""

import asyncio
import sys
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "pyproject.toml"

HANGING = """
import asyncio
import threading

async def test_waits_for_ever():
    await asyncio.Event().wait()

async def test_a_task_goes_on_for_ever():
    async def forever():
        while True:
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(forever())

def test_blocks_for_ever():
    threading.Event().wait()

async def test_after_them():
    await asyncio.sleep(0)
"""


async def test_a_test_that_hangs_fails_alone(tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING)
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-c", str(CONFIG), "--rootdir", str(tmp_path)),
        *("-p", "no:cacheprovider", "--timeout", "0.5", "test_hanging.py"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await run.communicate()
    assert b"3 failed, 1 passed" in out.splitlines()[-1], out.decode()
