"""The writing side of the Kafka bus: one idempotent producer, and the thread that hears its delivery reports."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from loyalnest.kit.bus.kafka_messages import ClientLog, headers_of, message_key
from loyalnest.kit.errors import TooLarge, Unavailable
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

FULL_SECONDS = 0.01
"""How long to wait for room in the producer's queue before trying again."""


class _Delivery:
    """One publish: counts its reports down in the poll thread, then resolves in the loop."""

    __slots__ = ("done", "error", "left", "owner")

    def __init__(self, owner: "KafkaProducer", count: int, done: "asyncio.Future[None]") -> None:
        self.owner = owner
        self.left = count
        self.error: KafkaError | None = None
        self.done = done

    def report(self, error: KafkaError | None, _message: Message) -> None:
        """Called by librdkafka once per message, always in the poll thread."""
        self.left -= 1
        if error is not None and self.error is None:
            self.error = error
        if self.left == 0:
            self.owner.finished.append(self)


class KafkaProducer:
    """Publishes events. `delivery_timeout` is in seconds: after it an event that no broker took has failed."""

    def __init__(self, brokers: str, prefix: str, client_id: str, delivery_timeout: float) -> None:
        self._prefix = prefix
        self._timeout = delivery_timeout
        self._settings: dict[str, Any] = {
            "bootstrap.servers": brokers,
            "client.id": client_id,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(delivery_timeout * 1000),
            "message.max.bytes": 8 * 1024 * 1024,
            "queue.buffering.max.messages": 200_000,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.propagation.max.ms": 2000,
            "logger": ClientLog(),
        }
        self.finished: list[_Delivery] = []
        self._producers: list[Producer] = []  # the last one is in use; those before it met a fatal error
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._stopping = True
        self._calls: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """Begin. Does not wait for a broker."""
        self._ended.clear()
        self._stopping = False
        self._producers = [Producer(self._settings)]
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._poll, args=(loop,), name="kafka-reports", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Wait for what was accepted, at most the delivery timeout, then disconnect."""
        self._stopping = True
        if self._thread is None:
            return
        while self._calls:  # each ends by its reports, at the latest by the delivery timeout
            await asyncio.wait(self._calls)
        self._ended.set()
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        self._producers = []

    async def publish(self, events: Sequence[Event]) -> None:
        """See EventBus.publish. Raises TooLarge for an event beyond what Kafka takes."""
        if not events:
            return
        if self._stopping:
            raise Unavailable("The event bus is stopped.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        delivery = _Delivery(self, len(events), done)
        self._calls.add(done)
        done.add_done_callback(self._forget)
        deadline = loop.time() + self._timeout
        try:
            for event in events:
                await self._enqueue(event, delivery, deadline)
        except BaseException:
            done.cancel()  # nobody waits for those that are on their way
            raise
        # Shielded from cancellation, so that stop() waits for the reports all the same.
        await asyncio.shield(done)

    def _forget(self, done: "asyncio.Future[None]") -> None:
        self._calls.discard(done)
        if not done.cancelled():
            done.exception()  # seen, even if the caller has gone away

    async def _enqueue(self, event: Event, delivery: _Delivery, deadline: float) -> None:
        """Hand `event` to librdkafka, waiting for room in its queue."""
        while True:
            try:
                self._producers[-1].produce(
                    self._prefix + event.topic,
                    event.payload,
                    message_key(event),
                    headers=headers_of(event),
                    on_delivery=delivery.report,
                )
            except BufferError:
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("Kafka takes no more events: the producer's queue is full.") from None
                await asyncio.sleep(FULL_SECONDS)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise TooLarge(f"An event of {len(event.payload)} bytes is more than Kafka takes.") from error
                self._renew_if_fatal(reason)
                raise Unavailable(f"Kafka takes no events: {reason.str()}") from error
            else:
                return

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        """The poll thread: one wake-up of the loop for all the calls that a poll finished."""
        while not self._ended.is_set():
            *broken, current = list(self._producers)
            for producer in broken:
                producer.poll(0)
                if len(producer) == 0:
                    self._producers.remove(producer)
            current.poll(0.1)
            if self.finished:
                finished, self.finished = self.finished, []
                loop.call_soon_threadsafe(self._resolve, finished)

    def _resolve(self, finished: list[_Delivery]) -> None:
        for delivery in finished:
            if delivery.error is not None:
                self._renew_if_fatal(delivery.error)
            if delivery.done.done():
                continue
            if delivery.error is None:
                delivery.done.set_result(None)
            else:
                delivery.done.set_exception(Unavailable(f"Kafka did not take the events: {delivery.error.str()}"))

    def _renew_if_fatal(self, error: KafkaError) -> None:
        """A producer that met a fatal error (a broker lost what it had acknowledged) never works again."""
        fatal = error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - a documented code
        if fatal and len(self._producers) == 1:
            log.error("kafka.producer_renewed", error=error.str())
            self._producers.append(Producer(self._settings))
