"""The event bus: an append-only log per topic, read by consumer groups.

Two implementations pass one test suite: PostgreSQL (the embedded packing) and Kafka (the others).
"""

from loyalnest.kit.bus.base import BEGINNING, Batch, EventBus, Positions, Subscription, TopicLag

__all__ = ["BEGINNING", "Batch", "EventBus", "Positions", "Subscription", "TopicLag"]
