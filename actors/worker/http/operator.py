"""The actions of an operator over HTTP, behind a token.

The token comes in the Authorization header. A browser never adds that by itself, as it adds a
cookie, so that no other page can have it act.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Final

import msgspec

from actors.worker.http.answer import Answer, Request
from actors.worker.run.controls import Act, Action, Refused
from supervisor.log import Throttle, get_logger, printable

log = get_logger("mailslot.worker")

_DONE: Final = {
    Act.PAUSE: "{} is paused: its messages wait",
    Act.RESUME: "{} goes on",
    Act.CLOSE_BREAKER: "the breaker of {} is closed",
    Act.DRAIN: "the worker handles what waits, and ends",
}
_quiet: Final = Throttle(time.monotonic, 10.0)


class Operator(msgspec.Struct, frozen=True):
    """Who may act, and on what."""

    token: str
    act: Callable[[Action], None]  # raises Refused if it cannot be done

    def answer(self, act: Act, request: Request) -> Answer:
        """Do ``act`` if the token of ``request`` is the right one."""
        # In constant time: an answer that comes later for a better guess would give the token away.
        if not hmac.compare_digest(request.token.encode(), self.token.encode()):
            if _quiet.passes(None) is not None:
                log.warning("wrong_token", act=act.value)
            headers = {"www-authenticate": "Bearer"}
            return Answer(b"the token is missing or wrong\n", status=401, headers=headers)
        process, path = request.query.get("process", "0"), request.query.get("path", "")
        if not process.isdecimal():
            return Answer(b"process is a number\n", status=400)
        try:
            self.act(Action(act, int(process), path))
        except Refused as error:
            return Answer(f"{printable(str(error))}\n".encode(), status=409)
        name = printable(path.rpartition("/")[2])
        return Answer(f"{_DONE[act].format(name)}\n".encode())


def no_actions(_: Request) -> Answer:
    """Return the answer where no token is configured."""
    text = b"no actions here: give mailslot run --http-token, or Worker http_token=\n"
    return Answer(text, status=404)
