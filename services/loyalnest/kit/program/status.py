"""What the operator reports of a program: the resource's status, as a typed model for the CRD and for who writes it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from loyalnest.kit.program.fields import Model
from loyalnest.kit.program.spec import ProgramTier

_BY_TYPE: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Truth(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation about the program; the fields are those of Kubernetes' metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="What is observed, such as Ready.")
    status: Truth = Field(description="Whether it is so: True, False or Unknown.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this was observed of."
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ] = Field(description="Why, as one word for programs, such as SecretMissing.")
    message: Annotated[str, Field(max_length=32768)] = Field(
        description="Why, in words for people; what to do where something has to be done."
    )


class LeftBehind(Model):
    """A place that the program has moved away from and that is not cleared yet."""

    tier: ProgramTier = Field(description="How the merchant was packed there.")
    at: datetime = Field(description="When its data had moved.")


class ProgramStatus(Model):
    """What the operator found and did last."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this status is about."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=20,
        description="Ready, Progressing and Degraded, and one for each phase: DatabaseReady, TopicsReady,"
        " ServicesReady, DashboardReady.",
        json_schema_extra=_BY_TYPE,
    )
    image: str | None = Field(
        default=None, max_length=512, description="Image that the services were last given; see version for what runs."
    )
    dashboard_url: str | None = Field(
        default=None, alias="dashboardURL", max_length=2048, description="Address of the merchant's dashboard."
    )
    version: str | None = Field(default=None, max_length=255, description="Version of LoyalNest that runs.")
    tier: ProgramTier | None = Field(default=None, description="How the merchant is packed now.")
    left_behind: LeftBehind | None = Field(
        default=None, description="The place that the data has moved away from, until it is cleared."
    )
    last_error: str | None = Field(
        default=None, max_length=32768, description="What went wrong last, in words. Absent: nothing since it was well."
    )
    database: str | None = Field(
        default=None, max_length=63, description="PostgreSQL database that has the merchant's data."
    )
    orders_per_hour: int | None = Field(
        default=None, ge=0, description="Orders that the merchant had in the last hour, where that is known."
    )
