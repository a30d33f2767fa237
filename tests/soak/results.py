"""A round of one worker: what was done to it, and what became of the messages."""

from __future__ import annotations

import msgspec

from tests.faults.verdict import Verdict

__all__ = ["HEADER", "Round"]

HEADER = (
    f"{'round':>5}  {'worker':8}{'fault':36}{'payloads':>9}{'accepted':>9}{'lost':>6}"
    f"{'overtaken':>10}{'gaps':>6}{'longest gap':>12}"
)


class Round(msgspec.Struct, frozen=True):
    """One fault, played on one worker.

    Attributes:
        worker: "cluster" or "server".
        fault: its title.
        words: whether payloads were one of two words.
        verdict: what became of the messages.
        wrongs: what was violated, in words.
    """

    worker: str
    fault: str
    words: bool
    verdict: Verdict
    wrongs: tuple[str, ...]

    def row(self, number: int) -> str:
        """Return a line of the table."""
        verdict, kind = self.verdict, "repeated" if self.words else "unique"
        longest = f"{verdict.longest_gap * 1000:.0f} ms" if verdict.gaps else "-"
        wrongs = "".join(f"\n       VIOLATED: {wrong}" for wrong in self.wrongs)
        return (
            f"{number:>5}  {self.worker:8}{self.fault:36}{kind:>9}{verdict.accepted:>9}"
            f"{len(verdict.lost):>6}{len(verdict.overtaken):>10}{verdict.gaps:>6}{longest:>12}{wrongs}"
        )
