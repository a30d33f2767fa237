"""What actors are sent: messages, the mailbox where they wait, asks, and what is lost."""
