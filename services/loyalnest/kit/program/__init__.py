"""A merchant's program: the LoyaltyProgram resource as a typed model, and how it is read from files."""

from loyalnest.kit.program.credentials import Credentials
from loyalnest.kit.program.documents import Program, load_programs
from loyalnest.kit.program.problems import InvalidPrograms, Problem
from loyalnest.kit.program.rules import (
    Debt,
    Discount,
    Earning,
    EarningRule,
    ProgramRules,
    Redemption,
    Referrals,
    Reward,
    Rfm,
    TierQualification,
    Trigger,
    VipTier,
)
from loyalnest.kit.program.spec import (
    DeletionPolicy,
    LoyaltyProgram,
    ProgramSpec,
    ProgramTier,
    RulesManagedBy,
    ServiceOptions,
    Shop,
)

__all__ = [
    "Credentials",
    "Debt",
    "DeletionPolicy",
    "Discount",
    "Earning",
    "EarningRule",
    "InvalidPrograms",
    "LoyaltyProgram",
    "Problem",
    "Program",
    "ProgramRules",
    "ProgramSpec",
    "ProgramTier",
    "Redemption",
    "Referrals",
    "Reward",
    "Rfm",
    "RulesManagedBy",
    "ServiceOptions",
    "Shop",
    "TierQualification",
    "Trigger",
    "VipTier",
    "load_programs",
]
