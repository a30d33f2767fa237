"""A server that accepts connections and says nothing holds up the start for start_timeout alone."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.worker.helpers import make_worker


@pytest.mark.parametrize("cluster", [False, True])
async def test_the_start_gives_up_in_time_and_says_why(cluster):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        app = make_worker(f"redis://127.0.0.1:{port}", start_timeout=0.3, cluster=cluster)

        @app.channel("news")
        async def on_news(message: str) -> None: ...

        begun = asyncio.get_running_loop().time()
        with pytest.raises((ConnectionError, OSError), match=r"did not answer|no connection"):
            async with app:
                pass
        # One attempt to connect takes five seconds, and a client makes three of them.
        assert asyncio.get_running_loop().time() - begun < 4.5
