"""Cuts a stream of RESP into frames, and keeps every byte: a proxy forwards frames unchanged."""

from __future__ import annotations

MESSAGE_KINDS = frozenset({b"message", b"pmessage", b"smessage"})
"""The pushes with published messages; other pushes of Pub/Sub confirm subscriptions."""

_LINES = frozenset(b"+-:_#,(")
_BLOBS = frozenset(b"$=!")
_LISTS = frozenset(b"*~>")
_MAPS = frozenset(b"%|")


class FrameSplitter:
    """Takes chunks of bytes and returns complete frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that ``data`` completes, in order.

        Raises:
            ValueError: the bytes are not RESP.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        while (end := _end_of_frame(buffer, start)) is not None:
            frames.append(bytes(buffer[start:end]))
            start = end
        del buffer[:start]
        return frames

    def rest(self) -> bytes:
        """Remove and return the bytes of the incomplete frame."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


def push_kind(frame: bytes) -> bytes | None:
    """Return ``b"message"``, ``b"subscribe"`` and so on; None for a frame of no Pub/Sub kind.

    RESP3 sends these frames as pushes, RESP2 as lists.
    """
    if frame[:1] not in (b">", b"*"):
        return None
    parts = frame.split(b"\r\n", 3)
    if len(parts) < 4 or parts[1][:1] != b"$":
        return None
    kind = parts[2]
    return kind if kind in MESSAGE_KINDS or kind.endswith(b"subscribe") else None


def _end_of_frame(buffer: bytearray, start: int) -> int | None:
    """Return where the frame at ``start`` ends; None while the frame is incomplete."""
    position = start
    missing = 1
    while missing:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return None
        kind = buffer[position]
        missing -= 1
        if kind in _BLOBS:
            length = int(buffer[position + 1 : line_end])
            position = line_end + 2 + (length + 2 if length >= 0 else 0)
            if position > len(buffer):
                return None
            continue
        if kind in _LISTS:
            missing += max(0, int(buffer[position + 1 : line_end]))
        elif kind in _MAPS:
            # An attribute (|) precedes the reply that it describes.
            missing += 2 * int(buffer[position + 1 : line_end]) + (kind == ord("|"))
        elif kind not in _LINES:
            raise ValueError(f"no frame of RESP begins with {bytes(buffer[position:][:20])!r}")
        position = line_end + 2
    return position
