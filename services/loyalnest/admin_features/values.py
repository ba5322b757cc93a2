"""What a value that people give must be."""

import re

from email_validator import EmailNotValidError, validate_email

from loyalnest.admin_features.kinds import Channel
from loyalnest.kit.errors import InvalidInput

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def checked_recipient(channel: Channel, to: str) -> str:
    """The address or number of a message. Raises InvalidInput, which does not repeat it."""
    if channel is Channel.SMS:
        number = re.sub(r"[ ()./-]", "", to)
        if not _E164.fullmatch(number):
            raise InvalidInput("to must be a phone number with its country's code, such as +4915112345678.")
        return number
    return checked_email(to, "to")


def checked_email(text: str, name: str) -> str:
    """An e-mail address. Raises InvalidInput naming the field, which does not repeat it."""
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise InvalidInput(f"{name} must be an e-mail address.") from None
