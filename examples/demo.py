"""Shows a supervised worker while servers and connections are broken on purpose.

    python -m examples.demo                     on an embedded cluster of 3 + 3 servers
    python -m examples.demo --single            on one embedded server
    python -m examples.demo --url redis://...   on a server of your own

The last line is for programs: ``demo: published=N delivered=N restarts=N gaps=N failures=N``; on a
cluster the losses of each fault follow, without recovery and with it:
`` lost: kill-connections=N setslot=N ... with-recovery: kill-connections=N ...``.

The exit code is 0 if every loss lies inside a reported gap, the consumer with recovery was told of
each of its losses, and nothing else went wrong; 1 with one
sentence on stderr if not; 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Sequence

from actors.testing import ServerNotFoundError, ServerStartError
from examples.demo_parts.cluster import on_embedded_cluster
from examples.demo_parts.display import Display, make_display
from examples.demo_parts.single import on_embedded_server, on_own_server
from examples.demo_parts.stage import DemoError, Outcome
from supervisor.log import printable

#: Seconds within which the demo ends, if necessary by force.
DEADLINE = 55.0


def main() -> int:
    """Run the demo and return its exit code."""
    options = _options()
    _end_at(DEADLINE + 3)
    display = make_display(plain=options.plain)
    try:
        outcome = asyncio.run(_play(options, display))
    except KeyboardInterrupt:
        display.close()
        print("demo: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        display.close()
        print(f"demo: {printable(_sentence(error))}", file=sys.stderr)
        return 1
    single = options.single or options.url is not None
    return _report(outcome, by_fault=not single)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--single", action="store_true", help="play on one embedded server")
    parser.add_argument("--url", help="play on your own server, redis://... for instance")
    parser.add_argument(
        "--seconds", type=_seconds, default=18.0, help="how long the demo takes, about (6 to 45)"
    )
    parser.add_argument("--plain", action="store_true", help="print lines instead of a live tree")
    return parser.parse_args()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 6 <= seconds <= 45:
        raise argparse.ArgumentTypeError(f"from 6 to 45, not {text}")
    return seconds


async def _play(options: argparse.Namespace, display: Display) -> Outcome:
    async with asyncio.timeout(DEADLINE) as limit:
        try:
            if options.url is not None:
                return await on_own_server(options.url, display, options.seconds)
            if options.single:
                return await on_embedded_server(display, options.seconds)
            return await on_embedded_cluster(display, options.seconds)
        except TimeoutError:
            if limit.expired():
                raise DemoError(f"not done within {DEADLINE:.0f} s") from None
            raise
    raise AssertionError("unreachable")


def _end_at(seconds: float) -> None:
    """Exit after ``seconds`` even if the event loop hangs; embedded servers end too."""

    def end() -> None:
        show_cursor = "\x1b[?25h" if sys.stdout.isatty() else ""
        sys.stderr.write(f"{show_cursor}demo: hung for {seconds:.0f} s\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _sentence(error: BaseException) -> str:
    """Return ``error``, or the innermost cause in a group, as one line."""
    causes: Sequence[BaseException] = getattr(error, "exceptions", ())
    if causes:
        return _sentence(causes[0])
    text = " ".join(str(error).split()) or repr(error)
    known = isinstance(error, DemoError | ServerNotFoundError | ServerStartError)
    return text if known else f"{type(error).__name__}: {text}"


def _report(outcome: Outcome, *, by_fault: bool) -> int:
    balance = outcome.balance
    problems: list[str] = []
    if balance.unexplained:
        problems.append(f"{balance.unexplained} messages were lost outside every reported gap")
    if balance.twice:
        when = ", ".join(f"{n} in {fault}" for fault, n in balance.twice_by_fault.items())
        problems.append(f"{balance.twice} messages arrived twice ({when})")
    if balance.recovering_untold:
        problems.append(f"with recovery {balance.recovering_untold} messages were lost untold")
    if balance.recovering_twice:
        problems.append(f"with recovery {balance.recovering_twice} messages arrived twice")
    if outcome.book != outcome.handed_to_book:
        problems.append(f"book has {outcome.book}, but was sent {outcome.handed_to_book}")
    if not balance.delivered:
        problems.append("nothing was delivered")

    orders, amount = outcome.book
    _say(f"the actor book still has all that it was sent: {orders:,} orders worth {amount:,}.")
    if balance.unanswered:
        _say(
            f"{balance.unanswered} publishes failed or got no answer and do not count as published"
            f" ({balance.unanswered_arrived} of these messages arrived nevertheless)."
        )
    recovering = sum(balance.recovering_lost.values())
    _say(f"a second consumer, which recovers, lost {recovering}.")
    explained = balance.lost - balance.unexplained
    where = "all inside reported gaps" if not balance.unexplained else f"{explained} inside gaps"
    _say(
        f"published {balance.published:,} = delivered {balance.delivered:,} + lost {balance.lost}"
        f" ({where}); {balance.twice} arrived twice, {balance.out_of_order} out of order."
    )
    if problems:
        print(f"demo: {'; '.join(problems)}", file=sys.stderr)
    last = (
        f"demo: published={balance.published} delivered={balance.delivered}"
        f" restarts={outcome.restarts} gaps={balance.gaps} failures={outcome.failures}"
    )
    if by_fault:
        last += " lost: " + " ".join(f"{fate.fault}={fate.lost}" for fate in outcome.fates)
        last += " with-recovery: "
        last += " ".join(f"{fate.fault}={fate.recovering}" for fate in outcome.fates)
    print(last, flush=True)
    return 1 if problems else 0


def _say(text: str) -> None:
    width = shutil.get_terminal_size().columns
    print(textwrap.fill(text, width) if sys.stdout.isatty() else text)


if __name__ == "__main__":
    sys.exit(main())
