"""The command line program mailslot."""
