"""A webhook goes to who proves to be the host that its address names, although an address is connected to."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from integration.event_tracking.receiver import Receiver
from integration.event_tracking.support import EventTracking, settings_of
from integration.event_tracking.test_webhooks import deliveries, expired, subscribe, tell
from loyalnest.event_tracking.webhook_delivery import WebhookSender


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a certificate for `name` that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.mark.parametrize(
    ("name", "trusted", "arrives"),
    [("localhost", True, True), ("example.com", True, False), ("localhost", False, False)],
)
async def test_only_who_proves_to_be_the_host_gets_a_webhook(
    tracking: EventTracking, tmp_path: Path, name: str, trusted: bool, arrives: bool
) -> None:
    file = certificate(tmp_path, name)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    asked: list[str | None] = []
    server.sni_callback = lambda _socket, host, _context: asked.append(host)
    receiver = Receiver()
    await receiver.start(server)
    trust = ssl.create_default_context(cafile=str(file)) if trusted else None
    sender = WebhookSender(tracking.database, tracking.outbox, tracking.keys, settings_of(), tracking.clock, trust)
    handler = sender.handler()
    subscription_id, secret = await subscribe(tracking, receiver.url)
    await tell(tracking, expired())
    await tracking.worker_with(handler, "webhook").run_due()
    await handler.close()
    await receiver.stop()
    (delivery,) = await deliveries(tracking, subscription_id)
    assert asked == ["localhost"]
    assert [each.signed_with(secret) for each in receiver.got] == [True] * arrives
    assert delivery.status == ("done" if arrives else "waiting")
    assert ("cannot be reached" in delivery.last_error) is not arrives
