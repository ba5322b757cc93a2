"""`make bench`: what this machine holds, printed as a table.

Settings by environment: RATE (orders/s), SECONDS, BODY (bytes), BACKLOG (orders), MERCHANTS (of the backlog).
"""

import json
import os
import platform as machine
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from e2e.platform import EmbeddedPlatform
from load.backlog import measure
from load.orders import percentile
from loyalnest.kit import logs
from loyalnest.kit.settings import Settings

out = Console(highlight=False)


def setting(name: str, default: int) -> int:
    """A whole number from the environment."""
    return int(os.environ.get(name, default))


def end_to_end(rate: int, seconds: int, body: int) -> None:
    """Orders at a constant rate against `loyalnest up`, which has its servers on the same machine."""
    with tempfile.TemporaryDirectory(prefix="loyalnest-bench-", ignore_cleanup_errors=True) as folder:
        platform = EmbeddedPlatform(Path(folder))
        platform.start()
        try:
            process = psutil.Process(platform.pid)
            before = process.cpu_times()
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "load.orders", "--url", platform.url("acme")),
                    *("--token", platform.token("acme"), "--rate", str(rate)),
                    *("--seconds", str(seconds), "--body-bytes", str(body)),
                ],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            )
            after, memory = process.cpu_times(), process.memory_info().rss
            result = json.loads(done.stdout)
            table = Table(title=f"End to end, embedded: {rate} orders/s asked for {seconds} s", title_justify="left")
            table.add_column("")
            for name in ("p50", "p99", "p99.9"):
                table.add_column(name, justify="right")
            for label, values in (("acknowledged", result["acknowledged"]), ("visible", result["visible"])):
                cells = [f"{1000 * percentile(values, share):.1f} ms" for share in (0.5, 0.99, 0.999)]
                table.add_row(f"{label} ({len(values)})", *cells)
            out.print(table)
            held = result["sent"] / result["seconds"]
            cpu = (after.user + after.system - before.user - before.system) / result["seconds"]
            out.print(f"held {held:.0f} orders/s, {result['refused']} refused, {result['failed']} failed, ", end="")
            out.print(f"{result['unseen']} never seen; LoyalNest took {cpu:.2f} cores, {memory / 2**20:.0f} MiB")
            verified = platform.command("acme", "verify", "acme")
            out.print(verified.stdout.strip() or verified.stderr.strip())
        finally:
            platform.stop()


def main() -> None:
    """Run both measurements."""
    logs.configure(Settings(log_level="ERROR", log_format="console"))
    out.print(f"{machine.machine()}, {os.cpu_count()} cores, Python {machine.python_version()}")
    end_to_end(setting("RATE", 300), setting("SECONDS", 30), setting("BODY", 0))
    orders, merchants = setting("BACKLOG", 100_000), setting("MERCHANTS", 100)
    out.print(f"Backlog: {orders:,} orders of {merchants} merchants through the full ledger: ", end="")
    out.print(f"{measure(orders, merchants):,.0f} orders/s (points alone, batches of 1,000)")


if __name__ == "__main__":
    main()
