"""Floor 4: subscriptions that outlive connections, and what consumes them."""
