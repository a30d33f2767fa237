"""The fleet's script in Python: the record that a simulated server keeps.

test_script.py compares it with the script on real servers, call by call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.worker.fleet.members import FleetSettings, Gone, Member
from actors.worker.fleet.messages import Commit, Prepare, Reply, Verdict
from actors.worker.fleet.views import View

NO_VIEW = View(0, fresh=True)

Published = list[Prepare | Commit]


@dataclass
class Lease:
    member: Member
    ends: int
    handled: int = 0
    leaving: bool = False


@dataclass
class Record:
    """What the server knows of a fleet. Times are in milliseconds."""

    settings: FleetSettings
    leases: dict[str, Lease] = field(default_factory=dict)
    committed: View = NO_VIEW
    announced: View = NO_VIEW
    announced_at: int = 0
    prepared: set[Member] = field(default_factory=set)

    def call(self, now: int, me: Member, action: str, value: str = "") -> tuple[Reply, Published]:
        self.now = now
        self.published: Published = []
        if action == "prepared" and int(value) == self.announced.number and self.is_alive(me):
            self.prepared.add(me)
        self.leaver_died = False
        gone = self.drop(value if action == "suspect" else "")
        verdict, by = self.lease_call(me, action, value)
        alive = tuple(member for member in self.committed.members if self.is_alive(member))
        is_done = (action, value) == ("leave", "done")
        verdict = self.remove_if_done(me, verdict, is_done=is_done)
        self.follow_up(alive, gone)
        while True:
            if not self.under_way:
                if self.stay == self.committed.members:
                    break
                self.announce(self.stay, self.committed.members)
            if not self.prepared.issuperset(self.announced.members):
                break
            self.commit(self.announced)
            verdict = self.remove_if_done(me, verdict, is_done=is_done)
        if action == "look":
            if self.committed.number:
                self.published.append(Commit(self.committed))
            if self.under_way:
                self.published.append(Prepare(self.announced))
        reply = Reply(verdict, now, self.committed.number, self.announced.number, by)
        return reply, self.published

    def drop(self, suspect: str) -> tuple[Gone, ...]:
        late = set()
        if self.under_way and self.now - self.announced_at >= self.settings.prepare_within * 1000:
            late = set(self.announced.members) - self.prepared
        gone = [
            lease
            for lease in self.leases.values()
            if lease.ends <= self.now or lease.member in late or str(lease.member) == suspect
        ]
        for lease in gone:
            del self.leases[lease.member.id]
            self.leaver_died |= lease.leaving
        gone.sort(key=lambda lease: str(lease.member))
        return tuple(Gone(lease.member, lease.handled) for lease in gone)

    def lease_call(self, me: Member, action: str, value: str) -> tuple[Verdict, str]:
        mine = self.leases.get(me.id)
        if action == "join" and mine is not None and mine.member != me:
            return Verdict.TAKEN, mine.member.incarnation
        if action == "join" and mine is None:
            mine = self.leases[me.id] = Lease(me, 0)
        if action in ("renew", "leave", "join"):
            if mine is None or mine.member != me:
                return Verdict.UNKNOWN, ""
            mine.ends = self.now + round(self.settings.ttl * 1000)
            mine.leaving = mine.leaving or action == "leave"
            if action != "join" and value.isdigit():
                mine.handled = int(value)
        return Verdict.OK, ""

    def follow_up(self, alive: tuple[Member, ...], gone: tuple[Gone, ...]) -> None:
        following = self.stay
        if self.under_way:
            following = tuple(filter(self.is_alive, self.announced.members))
        broken = self.under_way and following != self.announced.members
        changed = self.leaver_died or alive != self.committed.members
        if changed or (broken and following == alive):
            without = self.new_view(alive, self.committed.members, gone)
            self.announced = without
            if following != alive:
                self.announce(following, alive)
            self.commit(without)
        elif broken:
            self.announce(following, alive)

    def remove_if_done(self, me: Member, verdict: Verdict, *, is_done: bool) -> Verdict:
        if not is_done or not self.is_alive(me) or me in self.committed.members:
            return verdict
        del self.leases[me.id]
        return Verdict.LEFT

    def announce(self, members: tuple[Member, ...], before: tuple[Member, ...]) -> None:
        self.announced = self.new_view(members, before)
        self.announced_at = self.now
        self.prepared = set()
        self.published.append(Prepare(self.announced))

    def commit(self, view: View) -> None:
        self.committed = view
        self.published.append(Commit(view))

    def new_view(
        self, members: tuple[Member, ...], before: tuple[Member, ...], gone: tuple[Gone, ...] = ()
    ) -> View:
        last = max(self.committed.number, self.announced.number)
        return View(max(last + 1, self.now), members, gone, not before)

    def is_alive(self, member: Member) -> bool:
        lease = self.leases.get(member.id)
        return lease is not None and lease.member == member

    @property
    def stay(self) -> tuple[Member, ...]:
        stay = [lease.member for lease in self.leases.values() if not lease.leaving]
        return tuple(sorted(stay, key=str))

    @property
    def under_way(self) -> bool:
        return self.announced.number != self.committed.number
