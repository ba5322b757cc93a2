"""The LoyaltyProgram resource: one typed model for `loyalnest up`, for the operator, and for the CRD made from it.

The rules of earning and redemption are in `loyalnest.kit.program.rules`; here is where and how a merchant is served.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, Strict, model_validator

from loyalnest.kit.program.cel import Rule
from loyalnest.kit.program.fields import Flag, Hostname, Label, Model, Pattern, Quantity, Whole, refuse
from loyalnest.kit.program.rules import ProgramRules, RuleFields

API_VERSION = "loyalnest.io/v1alpha1"
KIND = "LoyaltyProgram"
SYSTEM_NAMESPACE = "loyalnest-system"


class ProgramTier(StrEnum):
    """How a merchant is packed.

    Pooled: in a shared set of services and one shared database. Compact: one pod of all services and a database of
    its own. Distributed: a Deployment per service and a database of its own.
    """

    POOLED = "Pooled"
    COMPACT = "Compact"
    DISTRIBUTED = "Distributed"


class RulesManagedBy(StrEnum):
    """Who owns the rules. Dashboard: the resource seeds them once. Resource: the dashboard shows them read-only."""

    DASHBOARD = "Dashboard"
    RESOURCE = "Resource"


class DeletionPolicy(StrEnum):
    """What becomes of a merchant's data when its program is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class SecretReference(Model):
    """Where a Secret is."""

    name: Annotated[
        str,
        Strict(),
        Pattern(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            "the name of a Secret: small letters, digits, hyphens and dots",
            253,
        ),
    ] = Field(description="Name of the Secret.")
    namespace: Label = Field(default=SYSTEM_NAMESPACE, description="Namespace of the Secret.")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Shop(Model):
    """The merchant's shop at Shopify."""

    domain: Annotated[
        str,
        Strict(),
        Pattern(
            r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.myshopify\.com$",
            "the shop's own domain in small letters, such as acme.myshopify.com",
            77,
        ),
        Rule(
            "self == oldSelf",
            "cannot be changed: a program belongs to one shop; make another program for the other shop",
        ),
    ] = Field(description="The shop's permanent domain, such as acme.myshopify.com. It cannot be changed later.")
    credentials_secret: SecretReference = Field(
        description="Secret with the app's apiKey and apiSecret; also apiSecretPrevious (while a rotation lasts) and"
        " accessToken (of the shop)."
    )


class Replicas(Model):
    """Bounds of a service's autoscaling."""

    min: Whole = Field(default=1, ge=1, le=1000, description="Fewest replicas.")
    max: Whole = Field(default=4, ge=1, le=1000, description="Most replicas.")

    api_rules: ClassVar[tuple[Rule, ...]] = (Rule("self.min <= self.max", "must be at most max", ".min"),)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            refuse("Replicas", [(("min",), f"must be at most max, which is {self.max}, found {self.min}")])
        return self


class ResourceAmounts(Model):
    """Processor and memory."""

    cpu: Annotated[str, Quantity()] | None = Field(default=None, description="Processors, such as 250m or 2.")
    memory: Annotated[str, Quantity()] | None = Field(default=None, description="Memory, such as 512Mi.")


class Resources(Model):
    """What a pod of a service asks for and may use."""

    requests: ResourceAmounts = Field(default=ResourceAmounts(), description="What a pod is given for sure.")
    limits: ResourceAmounts = Field(default=ResourceAmounts(), description="What a pod may use at most.")


class ServiceOptions(Model):
    """How one of the services runs."""

    enabled: Flag = Field(default=True, description="Whether the service runs for this merchant.")
    replicas: Replicas = Field(default=Replicas(), description="Bounds of autoscaling, in the Distributed tier.")
    resources: Resources = Field(
        default=Resources(), description="Processor and memory of a pod. Absent: as the chart says."
    )


class Dashboard(Model):
    """The merchant's dashboard."""

    host: Hostname | None = Field(
        default=None, description="Host name that the dashboard is served at. Absent: one below the platform's domain."
    )


class Retention(Model):
    """How long what is not the ledger is kept."""

    topic_hours: Whole = Field(default=168, ge=1, le=8760, description="Hours that topics keep their events.")
    inbox_days: Whole = Field(
        default=30,
        ge=1,
        le=365,
        description="Days that services remember which events they applied; at least as long as topics keep them.",
    )

    api_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.inboxDays * 24 >= self.topicHours",
            "days are less than topicHours: a replay would be applied twice",
            ".inboxDays",
        ),
    )

    @model_validator(mode="after")
    def _remembers_replays(self) -> Self:
        if self.inbox_days * 24 < self.topic_hours:
            words = (
                f"{self.inbox_days} days are less than topicHours ({self.topic_hours}): a replay would be applied twice"
            )
            refuse("Retention", [(("inboxDays",), words)])
        return self


_SERVICE_NAME = Pattern(r"^[a-z][a-z0-9_]*$", "the name of a service, such as points", 40)
ServiceName = Annotated[str, Strict(), _SERVICE_NAME]


class ProgramSpec(RuleFields):
    """What a merchant's platform should be. Only `shop` and one earning rule are required."""

    shop: Shop = Field(description="The merchant's shop at Shopify.")
    tier: ProgramTier = Field(
        default=ProgramTier.COMPACT,
        description="How the merchant is packed: Pooled (shared services and database), Compact (one pod, a database"
        " of its own) or Distributed (a Deployment per service, a database of its own).",
    )
    rules_managed_by: RulesManagedBy = Field(
        default=RulesManagedBy.DASHBOARD,
        description="Dashboard: currency, earning, redemption, referrals, tiers and rfm seed the merchant's rules once,"
        " then the dashboard owns them. Resource: this resource owns them and the dashboard shows them read-only.",
    )
    services: dict[ServiceName, ServiceOptions] = Field(
        default={}, max_length=50, description="Options per service, by its name. Absent: its defaults."
    )
    dashboard: Dashboard = Field(default=Dashboard(), description="The merchant's dashboard.")
    retention: Retention = Field(default=Retention(), description="How long events are kept and remembered.")
    suspend: Flag = Field(default=False, description="Whether the merchant's services are stopped; its data stays.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.RETAIN,
        description="What becomes of the merchant's data when the program is deleted: Retain keeps the database,"
        " Delete exports and drops it.",
    )

    api_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.services.all(name, name.size() <= {_SERVICE_NAME.most} && {_SERVICE_NAME.rule('name').rule})",
            f"every key must be {_SERVICE_NAME.words}, of at most {_SERVICE_NAME.most} characters",
            ".services",
        ),
    )

    @property
    def rules(self) -> ProgramRules:
        """The part that `core.program_settings` is seeded with."""
        return ProgramRules(**{name: getattr(self, name) for name in RuleFields.model_fields})


_PROGRAM_NAME = Pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "small letters a-z, digits and hyphens, with a letter or digit at both ends", 52
)


class Metadata(Model):
    """The parts of a Kubernetes object's metadata that a document may have."""

    name: Annotated[str, Strict(), _PROGRAM_NAME] = Field(
        description="The merchant's id; its namespace is loyalnest-<name>, so it has at most 52 characters and"
        " is not system."
    )
    labels: dict[str, str] = Field(default={}, description="Labels; they change nothing here.")
    annotations: dict[str, str] = Field(default={}, description="Annotations; they change nothing here.")

    @model_validator(mode="after")
    def _own_namespace(self) -> Self:
        if f"loyalnest-{self.name}" == SYSTEM_NAMESPACE:
            refuse(
                "Metadata", [(("name",), f"must not be {self.name}: {SYSTEM_NAMESPACE} is the platform's namespace")]
            )
        return self


class LoyaltyProgram(Model):
    """One merchant's loyalty platform."""

    # The API server lets nothing but the root speak of metadata, so these stand here and not in Metadata.
    api_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.metadata.name.size() <= {_PROGRAM_NAME.most}",
            f"metadata.name must be at most {_PROGRAM_NAME.most} characters long: the namespace is loyalnest-<name>",
        ),
        Rule(_PROGRAM_NAME.rule("self.metadata.name").rule, f"metadata.name must be {_PROGRAM_NAME.words}"),
        Rule(
            f"'loyalnest-' + self.metadata.name != '{SYSTEM_NAMESPACE}'",
            f"metadata.name must be another one: {SYSTEM_NAMESPACE} is the platform's namespace",
        ),
    )

    api_version: Literal["loyalnest.io/v1alpha1"] = Field(description="Version of this resource.")
    kind: Literal["LoyaltyProgram"] = Field(description="LoyaltyProgram.")
    metadata: Metadata = Field(description="Name of the merchant.")
    spec: ProgramSpec = Field(description="What the merchant's platform should be.")
