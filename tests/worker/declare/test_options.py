"""The options of decorators are those of a Handler."""

from __future__ import annotations

import inspect

from actors import Handler
from actors.worker.declare.options import HandlerOptions


def test_decorators_take_what_a_handler_takes():
    _, *options = inspect.signature(Handler).parameters.values()
    shown = {option.name: option.annotation for option in options}
    taken = HandlerOptions.__annotations__
    assert {name: hint.__forward_arg__ for name, hint in taken.items()} == shown
