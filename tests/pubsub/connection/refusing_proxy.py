"""A proxy that has one command refused, with any error, in its place in the order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.redis.helpers import peer


class Refusal:
    """What the proxy refuses at the moment.

    Attributes:
        words: the beginning of the refused command; None: nothing is refused.
        error: the error.
        refused: the commands that were refused.
    """

    def __init__(self) -> None:
        self.words: tuple[str, ...] | None = None
        self.error = ""
        self.refused: list[list[bytes]] = []

    def of(self, args: list[bytes]) -> bool:
        """Whether ``args`` are refused; ``("HELLO",)`` stands for HELLO without arguments."""
        if self.words is None:
            return False
        if self.words == ("HELLO",):
            return [word.upper() for word in args] == [b"HELLO"]
        begun = [word.decode(errors="replace").upper() for word in args[: len(self.words)]]
        return begun == list(self.words)


@asynccontextmanager
async def refusing_proxy(host: str, port: int) -> AsyncIterator[tuple[int, Refusal]]:
    """Yield the port of the proxy, and what it refuses.

    In place of a refused command the server is sent a script that returns the error: so the error
    comes in the order of the commands.
    """
    refusal = Refusal()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(host, port)

        async def back() -> None:
            while data := await back_reader.read(65536):
                writer.write(data)
            writer.close()

        copying = asyncio.ensure_future(back())
        try:
            while head := await reader.readline():
                args = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    args.append((await reader.readexactly(size + 2))[:-2])
                if refusal.of(args):
                    refusal.refused.append(args)
                    script = b"return redis.error_reply(ARGV[1])"
                    args = [b"EVAL", script, b"0", refusal.error.encode()]
                back_writer.write(b"*%d\r\n" % len(args))
                back_writer.write(b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in args))
        except asyncio.IncompleteReadError:
            pass
        finally:
            copying.cancel()
            back_writer.transport.abort()
            await asyncio.gather(copying, return_exceptions=True)

    async with peer(serve) as own:
        yield own, refusal
