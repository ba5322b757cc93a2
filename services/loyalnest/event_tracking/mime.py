"""E-mails as they are written down (RFC 5322)."""

from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from uuid import UUID

from loyalnest.admin_features.events import Message

MAX_LINE = 998
"""RFC 5322's limit. At the usual 78 a long address in a header would be written in encoded words, and mail programs
look for that of List-Unsubscribe as it is (RFC 8058)."""


class NotSendable(Exception):
    """A message that cannot be written as an e-mail. Its words hold no personal data."""


def message_id(task_id: UUID, sender: str) -> str:
    """The Message-ID of a task's e-mail: always the same, so that a repeat is the same message."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{task_id}@{domain or 'localhost'}>"


def written(task_id: UUID, message: Message, sender: str, at: datetime) -> EmailMessage:
    """The e-mail. Raises NotSendable for an address or header that has no place in one."""
    email = EmailMessage(policy=SMTP.clone(max_line_length=MAX_LINE))
    headers = {
        "From": sender,
        "To": message.to,
        "Subject": message.subject,
        "Date": format_datetime(at),
        "Message-ID": message_id(task_id, sender),
    }
    if message.reply_to:
        headers["Reply-To"] = message.reply_to
    own = {name.lower() for name in headers}
    headers |= {name: value for name, value in message.headers.items() if name.lower() not in own}
    try:
        for name, value in headers.items():
            email[name] = value
        if len(email["To"].addresses) != 1 or not email["To"].addresses[0].domain:
            raise NotSendable("It is not addressed to one e-mail address.")
        email.set_content(message.text)
        if message.html:
            email.add_alternative(message.html, subtype="html")
        email.as_bytes()
    except (ValueError, IndexError, MessageError) as error:
        raise NotSendable(f"It cannot be written as an e-mail ({type(error).__name__}).") from None
    return email
