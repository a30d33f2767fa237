"""How a member calls the fleet's script: keys, channels and arguments."""

from __future__ import annotations

from actors.worker.fleet.members import FleetSettings, Member
from actors.worker.fleet.script import Action


def record_keys(fleet: str) -> tuple[str, str]:
    """Return the keys of the fleet's record; a cluster keeps both of them in one slot."""
    return f"fleet:{{{fleet}}}", f"fleet:{{{fleet}}}:prepared"


def control_channel(fleet: str) -> str:
    """Return the channel on which the script tells the members of views."""
    return f"fleet:{{{fleet}}}:control"


def presence_channel(fleet: str, member: Member) -> str:
    """Return the channel that ``member`` subscribes to, to show that it is connected."""
    return f"fleet:{{{fleet}}}:presence:{member}"


def call_arguments(
    fleet: str, me: Member, settings: FleetSettings, action: Action, value: str
) -> tuple[str, ...]:
    """Return what follows EVALSHA and the digest, or EVAL and the text, for a call of ``me``."""
    times = (settings.ttl, settings.prepare_within)
    return (
        *("2", *record_keys(fleet)),
        *(action, me.id, me.incarnation, value),
        *(str(round(seconds * 1000)) for seconds in times),
        control_channel(fleet),
    )
