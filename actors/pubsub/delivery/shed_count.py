"""How many messages the consumers of one pub/sub object lost because they were too slow."""

from __future__ import annotations

from actors.runtime.messages.mailbox import Mailbox

# Ended mailboxes are looked for when so many are followed, and then at twice as many as are left.
_FEW = 64


class ShedCount:
    """Counts what was dropped at the bounds of mailboxes, also of those that have ended since.

    Args:
        mailbox: that of the iterator.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailboxes = [mailbox]
        self._of_ended = 0
        self._many = _FEW

    def follow(self, mailbox: Mailbox) -> None:
        """Count what is dropped from ``mailbox``, too: that of a handler."""
        self._mailboxes.append(mailbox)
        if len(self._mailboxes) >= self._many:
            self._let_go()
            self._many = max(_FEW, 2 * len(self._mailboxes))

    def total(self) -> int:
        """Return the number of messages dropped so far."""
        return self._of_ended + sum(mailbox.shed for mailbox in self._mailboxes)

    def _let_go(self) -> None:
        """Keep the counts of mailboxes that have ended, and not the mailboxes."""
        self._of_ended += sum(mailbox.shed for mailbox in self._mailboxes if mailbox.closed)
        self._mailboxes = [mailbox for mailbox in self._mailboxes if not mailbox.closed]
