"""A bounded, seeded fuzzer: hostile servers, hostile clusters, cancellation at every step."""
