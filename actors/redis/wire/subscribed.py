"""Which commands nobody may send on a connection that has subscriptions.

A pub/sub object shows its connection to users, and learns of subscriptions from the replies alone.
"""

from __future__ import annotations

from typing import Final

from actors.redis.exceptions import PubSubError
from actors.redis.wire.resp import Argument, text_of

_CALLS: Final = "call subscribe() and unsubscribe() of the pub/sub object"
_OWN: Final = "use a connection of your own, `async with client.connection_pool.connection(...)`"

# What would end the subscriptions, take their confirmations, or stop the replies; and what to do.
_CURES: Final = {
    **dict.fromkeys(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"), _CALLS),
    **dict.fromkeys(("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"), _CALLS),
    "CLIENT REPLY": "make the client with noreply=True",
    "HELLO": "give credentials and client_name to the client",
    **dict.fromkeys(("MONITOR", "MULTI", "PSYNC", "SYNC"), _OWN),
    **dict.fromkeys(("QUIT", "RESET"), "leave the context of the pub/sub object"),
}


def refuse_on_subscribed(args: tuple[Argument, ...]) -> None:
    """Refuse a command that would disturb the subscriptions of its connection.

    Raises:
        PubSubError: says what to use instead.
    """
    name = text_of(args[0]).upper() if args else ""
    if name == "CLIENT" and len(args) > 1:
        name = f"CLIENT {text_of(args[1]).upper()}"
    elif name == "HELLO" and len(args) == 1:
        return  # asks, and changes nothing
    cure = _CURES.get(name)
    if cure is not None:
        raise PubSubError(
            f"{name} would disturb the subscriptions of this connection and is not sent: {cure}"
        )
