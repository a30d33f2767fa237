"""What the payloads mean where somebody decodes them."""

from __future__ import annotations

import msgspec

__all__ = ["ORDER", "Order"]


class Order(msgspec.Struct):
    """Five fields, as a service might send them."""

    id: int
    item: str
    amount: int
    price: float
    paid: bool


#: An order as JSON.
ORDER = msgspec.json.encode(Order(4711, "a pair of red shoes", 2, 99.5, True)).decode()
