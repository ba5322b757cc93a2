"""Configuration from the environment. Every variable begins with `LOYALNEST_`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.placement import Placement


class EnvironmentSettings(BaseSettings):
    """Settings that are read from variables with a common beginning, and complain in words."""

    @classmethod
    def from_environment(cls) -> Self:
        """What the environment says. Raises InvalidInput naming every variable that is wrong, never its value."""
        prefix = cls.model_config.get("env_prefix", "")
        try:
            return cls()
        except ValidationError as error:
            wrong = [f"{prefix}{'__'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
            raise InvalidInput(f"The environment is not right: {'; '.join(wrong)}.") from None
        except SettingsError as error:  # it names the field between quotes, and says only that it could not be parsed
            name = str(error).split('"')[1].upper()
            raise InvalidInput(f"The environment is not right: {prefix}{name}: Input should be JSON.") from None


class Settings(EnvironmentSettings):
    """What a process is told. `loyalnest serve --help` lists the variables; `up` fills them itself.

    Durations are in seconds where the name says nothing else.
    """

    model_config = SettingsConfigDict(
        env_prefix="LOYALNEST_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    bus: Literal["postgres", "kafka"] = Field(default="postgres", description="Event bus: postgres or kafka.")
    database_url: SecretStr = Field(
        default=SecretStr(""), description="PostgreSQL address for every service without one of its own."
    )
    database_urls: dict[str, SecretStr] = Field(
        default_factory=dict, description="PostgreSQL address per service, as a JSON object."
    )
    database_connections: int = Field(default=16, ge=2, description="Most connections a process opens to one address.")
    redis_url: SecretStr = Field(default=SecretStr(""), description="Redis address.")
    redis_prefix: str = Field(default="", description="Put before every Redis key.")
    kafka_brokers: str = Field(default="", description="Kafka bootstrap servers, with bus=kafka.")
    topic_prefix: str = Field(default="loyalnest.", description="Put before every Kafka topic.")
    topic_partitions: int = Field(default=4, ge=1, description="Partitions of a topic this process makes.")
    topic_retention_hours: int = Field(default=168, ge=1, description="How long topics keep events.")
    inbox_days: int = Field(
        default=30,
        ge=1,
        description="Days that services remember which events they applied; always longer than topics keep events.",
    )
    encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Key-encryption keys, newest first: `id:base64` of 32 bytes, separated by commas.",
    )
    encryption_keys_file: Path | None = Field(
        default=None, description="A file with the same content; it is read again after a rotation."
    )
    peers: dict[str, str] = Field(
        default_factory=dict, description="gRPC address per service that runs in another process, as a JSON object."
    )
    disabled_services: list[str] = Field(
        default_factory=list, description="Services that run nowhere for this merchant, as a JSON array."
    )
    programs: list[Path] = Field(
        default_factory=list, description="Files or folders of LoyaltyProgram documents, as a JSON array."
    )
    public_url: str = Field(default="http://127.0.0.1:8080", description="Where the gateway is reached from outside.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="HTTP port; 0 takes a free one.")
    grpc_port: int = Field(default=9090, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    drain_seconds: float = Field(
        default=10.0, ge=0, description="Time that requests and batches get to finish at a stop."
    )
    webhook_limit_per_minute: int = Field(
        default=120_000, ge=1, description="Deliveries a minute that one merchant may send to one topic."
    )
    forged_limit_per_minute: int = Field(
        default=600,
        ge=1,
        description="Wrongly signed deliveries a minute for one shop from one address; more get 429 instead of 401.",
    )
    request_limit_per_minute: int = Field(
        default=6_000, ge=1, description="API requests a minute that one merchant may make of one route."
    )
    shopify_scheme: Literal["https", "http"] = Field(default="https", description="http only for a stand-in Shopify.")
    shopify_address: str = Field(
        default="", description="host:port to reach instead of the shop's own domain, for a stand-in Shopify."
    )
    email_provider: Literal["file", "resend", "mailgun", "smtp"] = Field(
        default="file", description="Who sends e-mail: resend, mailgun, smtp, or file, which writes it into a folder."
    )
    email_from: str = Field(
        default="LoyalNest <loyalty@localhost>", description="Sender of e-mails that name none: `Name <address>`."
    )
    email_per_second: float = Field(
        default=2.0, gt=0, description="Most e-mails a second, by all processes together while Redis is there."
    )
    resend_url: str = Field(default="https://api.resend.com", description="Address of Resend's API.")
    resend_api_key: SecretStr = Field(default=SecretStr(""), description="Key of Resend's API.")
    mailgun_url: str = Field(
        default="https://api.mailgun.net", description="Address of Mailgun's API; https://api.eu.mailgun.net in the EU."
    )
    mailgun_domain: str = Field(default="", description="The domain that Mailgun sends for.")
    mailgun_api_key: SecretStr = Field(default=SecretStr(""), description="Sending key of Mailgun's API.")
    smtp_host: str = Field(default="", description="SMTP server.")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls from the first byte, or none, inside a machine only."
    )
    smtp_username: str = Field(default="", description="Login at the SMTP server, if it wants one.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password of that login.")
    sms_provider: Literal["file", "http"] = Field(
        default="file", description="Who sends text messages: http, as Twilio does, or file."
    )
    sms_url: str = Field(
        default="",
        description="Where text messages are posted: https://api.twilio.com/2010-04-01/Accounts/<sid>/Messages.json",
    )
    sms_username: str = Field(default="", description="Login there, such as Twilio's account SID.")
    sms_password: SecretStr = Field(default=SecretStr(""), description="Password or token of that login.")
    sms_from: str = Field(default="", description="Number or sender id that text messages come from.")
    sms_per_second: float = Field(
        default=1.0, gt=0, description="Most text messages a second, by all processes together while Redis is there."
    )
    webhooks_per_second: float = Field(
        default=200.0, gt=0, description="Most webhooks a second to merchants' addresses, by all processes together."
    )
    webhooks_to_private_addresses: bool = Field(
        default=False,
        description="For development only: merchants' webhooks may go to private addresses, and to loopback by http.",
    )
    message_folder: Path | None = Field(
        default=None, description="Where `file` writes messages, in the clear; without it, a temporary folder."
    )
    task_days: int = Field(
        default=30, ge=1, description="Days that tasks are kept after their end; always longer than topics keep events."
    )
    resend_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="Signing secret of Resend's webhooks, whsec_…; empty refuses them."
    )
    mailgun_signing_key: SecretStr = Field(
        default=SecretStr(""), description="Signing key of Mailgun's webhooks; empty refuses them."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least that is logged: DEBUG, INFO, WARNING or ERROR."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json, one object a line, or console, for people."
    )

    @property
    def remembered_days(self) -> int:
        """How long the inbox keeps events: always longer than topics do, so that a repeat is known."""
        return max(self.inbox_days, self.topic_retention_hours // 24 + 2)

    @property
    def kept_task_days(self) -> int:
        """How long tasks that have ended are kept: as long as an event may come again that would make one anew."""
        return max(self.task_days, self.remembered_days)

    def placement(self) -> Placement:
        """Where this process's data lives."""
        return Placement(
            database_url=self.database_url.get_secret_value(),
            database_urls={name: url.get_secret_value() for name, url in self.database_urls.items()},
            redis_url=self.redis_url.get_secret_value(),
            topic_prefix=self.topic_prefix,
            redis_prefix=self.redis_prefix,
        )


class OtherSettings(Settings):
    """Another place beside the own one, for a merchant that moves: the same variables behind OTHER_."""

    model_config = SettingsConfigDict(env_prefix="OTHER_LOYALNEST_")
