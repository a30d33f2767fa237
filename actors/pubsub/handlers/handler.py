"""Handler: a callback or an actor class, and how its messages are decoded, run and failed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from actors.pubsub.handlers.batch import Batch
from actors.pubsub.handlers.breaker import Breaker
from actors.pubsub.handlers.failure_sinks import HandlerFailureSink
from actors.pubsub.model.options import is_coroutine_function, option_problems
from actors.pubsub.model.recover import Recover
from actors.pubsub.model.types import GapCallback, LagCallback, PubSubMessage
from actors.runtime.actor import Actor, ActorSpec
from actors.runtime.messages.overflow import MailboxSpec, Overflow
from supervisor import SpecError

if TYPE_CHECKING:
    from actors.pubsub.delivery.handling_times import HandlingTimes
    from actors.pubsub.delivery.receive_times import ReceiveTimes
    from actors.pubsub.handlers.decoders import Decoder

#: A worker's middleware: takes a message and the rest of the steps, and calls these.
Around: TypeAlias = Callable[
    [PubSubMessage, Callable[[PubSubMessage], Awaitable[Any]]], Awaitable[Any]
]

_FORMATS = ("json", "msgpack")
_CHECKED = (
    *("mailbox", "overflow", "concurrency", "timeout", "recover"),
    *("on_failure", "on_gap", "on_lagged", "in_thread", "shared"),
)


class Handler:
    """How the messages of one subscription are handled; accepted wherever a callback is.

    Args:
        fn: a function or coroutine function, or an Actor class (or ActorSpec) whose ``receive``
            takes the messages; a crash restarts the actor with new state. A function takes the
            message or, with ``decode``, the decoded payload, and the message as second parameter
            if it has one.
        decode: what payloads are decoded to: a Struct, dataclass, TypedDict, attrs class or
            Pydantic model, or a type made of those; or a function of the payload, which is bytes,
            or str if the function's parameter is annotated so. A message whose payload does not
            decode goes to the failure sink.
        format: ``json`` or ``msgpack``: what payloads are, where ``decode`` is a type.
        concurrency: how many messages are handled side by side.
        key: keeps messages with an equal key in order: a function of the argument of ``fn``, or
            the name of an attribute or item of it. Without a key, a ``concurrency`` above 1 keeps
            no order.
        mailbox: the bound of the mailbox; None: the pubsub's.
        overflow: what happens at the bound; None: as the pubsub's.
        on_failure: the failure sink: takes a HandlerFailure, may be ``async``; None: the pubsub's.
        on_gap: called with each gap, before the next message; None: the pubsub's.
        on_lagged: called with the number of messages shed; None: the pubsub's.
        timeout: seconds that one message may take; None: no limit.
        in_thread: run a plain function in a thread, so that it may block: in one thread for each
            of ``concurrency``. A thread cannot be ended: after ``timeout`` the message has failed,
            and the thread takes its next message once the function has returned.
        breaker: when to stop calling a handler that always fails; None: never.
        batch: give the function many messages in one call: lists instead of a payload and a
            message. A call that raises has failed for all of them, or for those that its BatchError
            names. ``timeout`` and ``breaker`` are about calls. None: one message a call.
        recover: get what was missed out of the channel's history: a Recover, True for its defaults,
            or False; None: as the pubsub's.
        shared: one mailbox for all names that are subscribed with this very Handler. Messages are
            handled in the order in which they came; with ``concurrency`` and without ``key``, those
            of one channel are. False: a mailbox for each name.

    Attributes:
        decoder: decodes a payload; None: the handler takes the message as it is.
        wants_message: whether ``fn`` takes the payload and the message.
        around: the worker's middleware: each message passes it on its way to ``fn``.
        adapt: turns an actor's ``receive`` into a function of the payload and the message.
        receive_times: where the receipt of this handler's messages is noted.
        measured: takes what measures this handler, by path; None: it is not measured.
        gate: a batch is not handled before this is set; None: nothing to wait for.

    Raises:
        SpecError: with every problem found.
    """

    __slots__ = (
        "adapt",
        "around",
        "batch",
        "breaker",
        "concurrency",
        "decode",
        "decoder",
        "fn",
        "format",
        "gate",
        "in_thread",
        "key",
        "mailbox",
        "measured",
        "on_failure",
        "on_gap",
        "on_lagged",
        "overflow",
        "receive_times",
        "recover",
        "shared",
        "timeout",
        "wants_message",
    )

    def __init__(
        self,
        fn: Callable[..., Any] | type[Actor[Any]] | ActorSpec,
        *,
        decode: Any = None,
        format: Literal["json", "msgpack"] = "json",
        concurrency: int = 1,
        key: Callable[[Any], Any] | str | None = None,
        mailbox: MailboxSpec | int | None = None,
        overflow: Overflow | str | None = None,
        on_failure: HandlerFailureSink | None = None,
        on_gap: GapCallback | None = None,
        on_lagged: LagCallback | None = None,
        timeout: float | None = None,
        in_thread: bool = False,
        breaker: Breaker | None = Breaker(),  # noqa: B008 - frozen
        batch: Batch | None = None,
        shared: bool = False,
        recover: Recover | bool | None = None,
    ) -> None:
        self.fn = fn
        self.decode = decode
        self.format = format
        self.concurrency = concurrency
        self.key = key
        self.mailbox = mailbox
        self.overflow = overflow
        self.on_failure = on_failure
        self.on_gap = on_gap
        self.on_lagged = on_lagged
        self.timeout = timeout
        self.in_thread = in_thread
        self.breaker = breaker
        self.batch = batch
        self.shared = shared
        self.recover = recover
        self.decoder: Decoder | None = None
        self.wants_message = False
        self.around: Around | None = None
        self.adapt: Callable[[Callable[..., Any]], Callable[[Any, Any], Any]] | None = None
        self.receive_times: Sequence[ReceiveTimes] = ()
        self.measured: MutableMapping[str, HandlingTimes] | None = None
        self.gate: asyncio.Event | None = None
        problems = self._problems()
        if problems:
            raise SpecError(f"handler {self.name}", problems)

    @property
    def name(self) -> str:
        """The handler's name in log lines and failures."""
        return name_of(self.fn)

    @property
    def is_actor(self) -> bool:
        """Whether a user's Actor takes the messages."""
        return isinstance(self.fn, ActorSpec) or (
            isinstance(self.fn, type) and issubclass(self.fn, Actor)
        )

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function, as far as its definition shows."""
        return is_coroutine_function(self.fn)

    def _problems(self) -> list[str]:
        problems = []
        if not callable(self.fn) and not isinstance(self.fn, ActorSpec):
            return [f"it must be callable, an Actor class or an ActorSpec, not {self.fn!r}"]
        if self.format not in _FORMATS:
            problems.append(f"format must be one of {', '.join(_FORMATS)}, not {self.format!r}")
        wrong = dict(option_problems({name: getattr(self, name) for name in _CHECKED}))
        problems += self._payload_problems()
        problems += wrong.values()
        for name, kind in (("breaker", Breaker), ("batch", Batch)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                problems.append(f"{name} must be a {kind.__name__}, or None, not {value!r}")
        if "concurrency" not in wrong and self.concurrency > 1 and self.batch is not None:
            problems.append("batches are handled one after another: concurrency must be 1")
        if self.is_actor:
            return problems + self._actor_problems()
        problems += self._signature_problems()
        if self.in_thread and self.is_async:
            problems.append("in_thread is for plain functions, not for coroutine functions")
        return problems

    def _payload_problems(self) -> list[str]:
        # Imported when a handler needs them.
        problems = []
        argument: Any = PubSubMessage
        if self.decode is not None:
            from actors.pubsub.handlers.decoders import argument_of, make_decoder  # noqa: PLC0415

            argument = argument_of(self.decode)
            try:
                known = self.format if self.format in _FORMATS else "json"
                self.decoder = make_decoder(self.decode, known)
            except TypeError as error:
                problems.append(str(error))
                argument = Any
        if self.key is not None:
            from actors.pubsub.handlers.keys import key_problem  # noqa: PLC0415

            if self.concurrency == 1:
                problems.append("key orders what runs side by side: give it a concurrency above 1")
            if (problem := key_problem(self.key, argument)) is not None:
                problems.append(problem)
        return problems

    def _actor_problems(self) -> list[str]:
        problems = []
        if (problem := _constructor_problem(self.fn)) is not None:
            problems.append(problem)
        if self.concurrency != 1:
            problems.append("an actor handles one message at a time: concurrency must be 1")
        if self.batch is not None:
            problems.append("an actor handles one message at a time: batch is for functions")
        if self.in_thread:
            problems.append("an actor cannot run in a thread")
        if self.timeout is not None:
            problems.append("timeout is for functions: an actor bounds its own work")
        return problems

    def _signature_problems(self) -> list[str]:
        assert callable(self.fn)
        try:
            parameters = inspect.signature(self.fn).parameters.values()
        except (TypeError, ValueError):  # some built-ins have no signature
            return []
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        takes = [p for p in parameters if p.kind in positional]
        anything = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
        required = [p for p in takes if p.default is inspect.Parameter.empty]
        keywords = [
            p.name
            for p in parameters
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty
        ]
        most = 2 if self.decode is not None else 1
        self.wants_message = most == 2 and len(required) == 2
        what = "the payload, and the message if it likes" if most == 2 else "the message"
        if keywords:
            return [f"nobody gives it {', '.join(keywords)}: it is called with {what}"]
        if not takes and not anything:
            return [f"it takes no argument: it is called with {what}"]
        if len(required) > most:
            return [f"it needs {len(required)} arguments: it is called with {what}"]
        return []


def as_handler(callback: Any) -> Handler:
    """Return ``callback``, a Handler, a function or an Actor class, as a Handler."""
    if isinstance(callback, Handler):
        return callback
    # A bare callback works as in the reference API, which has no breaker.
    return Handler(callback, breaker=None)


def name_of(fn: Any) -> str:
    """Return how log lines and failures name a function, an Actor class or an ActorSpec."""
    fn = fn.actor if isinstance(fn, ActorSpec) else fn
    return getattr(fn, "__qualname__", None) or repr(fn)


def _constructor_problem(actor: Any) -> str | None:
    """Return why no instance of ``actor``, an Actor class or a spec, can be made."""
    spec = actor if isinstance(actor, ActorSpec) else ActorSpec(actor)
    try:
        inspect.signature(spec.actor).bind(*spec.args, **(spec.kwargs or {}))
    except TypeError as error:
        name = getattr(spec.actor, "__qualname__", "Actor")
        return f"its constructor: {error}; give arguments as ActorSpec({name}, (...))"
    except ValueError:  # some built-ins have no signature
        pass
    return None
