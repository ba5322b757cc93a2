"""Metrics of points."""

from prometheus_client import Gauge

LEDGER_MISMATCHES = Gauge(
    "loyalnest_ledger_mismatches", "Mismatches that the newest verification of each merchant's ledger found, in all."
)
LEDGERS_UNVERIFIED = Gauge("loyalnest_ledgers_unverified", "Merchants whose ledger is still to be verified tonight.")
