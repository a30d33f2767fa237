"""Random runs of the simulated world: what goes wrong in one is a matter of its seed."""

from __future__ import annotations

from collections.abc import Callable

from actors.worker.fleet.members import FleetSettings
from tests.worker.fleet.process import Process
from tests.worker.fleet.world import World


#: Seconds after the last fault within which every name has an owner: leases of dead members end
#: (ttl), somebody calls the script (ttl / 4), members that prepare forever are dropped, and so
#: once more for who fails while that goes on.
def bound(settings: FleetSettings) -> float:
    return 2 * settings.ttl + 2 * settings.prepare_within


def run_with_faults(seed: int, on_trace: Callable[[str], None] | None = None) -> World:
    """Run a world with faults; Broken where something does not hold."""
    settings = FleetSettings(may_kill=seed % 5 != 0)
    world = World(seed, nodes=1 + seed % 3, settings=settings, on_trace=on_trace)
    rng, faults = world.rng, Faults(world)
    for n in range(rng.randrange(1, 7)):
        world.start_after(rng.random() * 0.5, f"host-{n}")
    world.run(1 + rng.random())
    for _ in range(rng.randrange(1, 12)):
        for _ in range(rng.choice([1, 1, 1, 3])):
            faults.one()
        world.run(rng.choice([0.0, 0.003, 0.05, 0.3, 1.0, 3.0]) * rng.random() * 2)
    faults.end()
    world.gap = 0.02
    world.run(bound(settings))
    healed, world.gap = world.scheduler.now, 0.005
    world.run(1)
    world.check_recovered(healed, healed + 0.7)
    return world


class Faults:
    """Everything that may go wrong."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng
        self.all = [
            *(self.pause, self.pause, self.kill, self.kill, self.power_off, self.cut, self.cut),
            *(self.restart, self.restart, self.start, self.start, self.leave, self.leave),
            *(self.server_restarts, self.forget_record, self.save, self.lose_control, self.move),
            self.stick,
        ]

    def one(self) -> None:
        fault = self.rng.choice(self.all)
        self.world.trace("fault", fault.__name__)
        fault()

    def end(self) -> None:
        """End what can end, and see to it that somebody is there to own names."""
        self.world.trace("fault", "all end")
        for process in self.world.running:
            process.resume()
        for node in self.world.servers.nodes:
            node.loses_control = False
        if all(process.leaving or process.stuck for process in self.world.running):
            self.start()

    def _any(self) -> Process | None:
        running = self.world.running
        return self.rng.choice(running) if running else None

    def pause(self) -> None:
        if process := self._any():
            process.paused = True
            self.world.trace(process.me, "is stopped")
            seconds = self.rng.choice([0.05, 0.5, 1.7, 2.1, 5.0]) * (0.9 + 0.2 * self.rng.random())
            self.world.scheduler.after(seconds, process.resume)

    def kill(self) -> None:
        if process := self._any():
            self.world.trace(process.me, "is killed")
            process.die()

    def power_off(self) -> None:
        if process := self._any():
            self.world.trace(process.me, "has lost its power")
            process.die(connections_stay=True)

    def stick(self) -> None:
        """A process subscribes to nothing more, and goes on otherwise."""
        if process := self._any():
            process.stuck = True

    def cut(self) -> None:
        node = self.rng.choice(self.world.servers.nodes)
        if node.connections:
            connection = self.rng.choice(list(node.connections))
            self.world.trace(connection.process.me, "is cut from", node.name)
            connection.close()

    def restart(self) -> None:
        """A process dies, or is stopped, and another one starts under its name."""
        if process := self._any():
            self.rng.choice([process.die, process.die, lambda: None])()
            self.world.start(process.me.id)

    def start(self) -> None:
        self.world.start(f"late-{len(self.world.processes)}")

    def leave(self) -> None:
        if process := self._any():
            self.world.trace(process.me, "leaves")
            process.leave()

    def server_restarts(self) -> None:
        data = self.rng.choice(["kept", "lost", "stale"])
        seconds = self.rng.choice([0.01, 0.3, 3.0])
        self.world.trace("node-0", f"restarts, data {data}, in {seconds} s")
        self.world.servers.go_down(seconds, data)
        self.world.run(seconds)

    def forget_record(self) -> None:
        self.world.servers.forget_record()

    def save(self) -> None:
        self.world.servers.save()

    def lose_control(self) -> None:
        """For a while a node gets nothing of what the record's node publishes."""
        node = self.world.servers.nodes[-1]
        if len(self.world.servers.nodes) > 1:
            node.loses_control = True
            self.world.run(0.3 * self.rng.random())
            node.loses_control = False

    def move(self) -> None:
        """A slot moves: a name is published at another node."""
        name = self.rng.choice(sorted(self.world.names))
        self.world.homes[name] = self.rng.choice(self.world.servers.nodes)
