"""The values that every part of a subscription shares: options, targets, gaps."""
