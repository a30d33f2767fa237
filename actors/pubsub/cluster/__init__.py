"""Subscriptions in a cluster: which node serves which channel, and what follows when nodes fail."""
