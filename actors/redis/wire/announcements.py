"""What the header of a reply announces, and how much of it is believed (pure).

The parser makes a list of the announced length before the first element has come: the thirteen
bytes of ``>2147483647`` take 16 GB and hold the event loop for seconds. So such a header must not
come to the parser. To look at every header would cost more than to parse the messages. But a reply
that announces too much is never complete: in the bytes of one read its header is among the last,
unless the peer sends half a kilobyte after it. So the end of each read is searched for what
looks like such a header, and where something does, the bytes before it are parsed first: then the
parser knows whether a header comes next, or the text is in the middle of a payload.
"""

from __future__ import annotations

import re
from typing import Final

#: So many bytes at the end of a read are searched.
SEARCHED: Final = 512

#: A push of 10,000 elements or more: messages have four. This search is quick, and enough for a
#: read that ends with a line while no reply is expected: the lists that the parser makes for other
#: types take no memory by themselves.
PUSHES: Final = re.compile(rb">\d{5}")
#: The same; an array, a set, a map or an attribute of a hundred million elements or more; and the
#: beginning of such a header at the end of the bytes.
ALL_TYPES: Final = re.compile(rb">(?:\d{5}|\d{0,4}\Z)|[*~%|](?:\d{9}|\d{0,8}\Z)")

#: A string of more bytes than this is not read to its end; servers accept half as many by default.
LONGEST_STRING: Final = 1 << 30


def announces_too_much(header: bytes) -> bool:
    """Whether ``header``, which :data:`ALL_TYPES` has found, is more than the beginning of one."""
    return len(header) == (6 if header.startswith(b">") else 10)
