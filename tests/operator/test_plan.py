"""`loyalnest-operator plan` as an admin runs it: what would be made or changed, before anything is."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.kubelet import Kubelet
from fixtures.machine import free_port
from fixtures.operating import Object, World
from loyalnest_operator import names
from loyalnest_operator.kinds import PROGRAM

CHANGES = 2
SECRETS = {"apiKey": "the-api-key", "apiSecret": "hush-hush-hush"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the documents are."""
    return tmp_path / "shop.yaml"


def write(file: Path, program: Object, **credentials: str) -> None:
    """A program's documents as an admin has them."""
    reference = program["spec"]["shop"]["credentialsSecret"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": reference, "stringData": SECRETS | credentials}
    file.write_text(yaml.safe_dump_all([secret, program]))


async def plan(world: World, file: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("LOYALNEST_")}
    variables |= world.environment | {"KUBECONFIG": str(world.kubeconfig)} | environment
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loyalnest_operator", "plan", "-f", str(file)),
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def marked(out: str, sign: str) -> list[str]:
    """The objects that are printed with this sign."""
    return [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith(f"  {sign} ")]


async def test_of_a_new_program_everything_is_to_be_made(world: World, file: Path) -> None:
    name = world.name()
    write(file, world.document(name))
    code, out, err = await plan(world, file)
    assert (code, err) == (CHANGES, "")
    made = marked(out, "+")
    for wanted in (
        f"Namespace {names.namespace(name)}",
        f"Deployment {names.namespace(name)}/loyalnest",
        f"Ingress {names.namespace(name)}/dashboard",
        f"Secret {world.system}/{names.secrets(name)} (generated)",
    ):
        assert wanted in made
    assert out.splitlines()[-1] == f"{len(made)} changes."
    assert marked(out, "~") == marked(out, "-") == marked(out, "=") == []
    assert await world.cluster.get(PROGRAM, name) is None  # nothing was made
    assert not [value for value in SECRETS.values() if value in out]


@pytest.mark.parametrize("tier", ["Compact", "Pooled"])
async def test_of_a_running_program_nothing_is_to_change(world: World, kubelet: Kubelet, file: Path, tier: str) -> None:
    name, pool = world.name(), world.name("pool")
    await world.make_namespace(pool)
    here = {"LOYALNEST_OPERATOR_POOL_NAMESPACE": pool}
    await world.make_credentials(name, **SECRETS)
    await world.make(name, credentials=False, tier=tier)
    async with world.operator(**here):
        await world.until(name, "Ready")
    write(file, world.document(name, tier=tier))
    code, out, err = await plan(world, file, **here)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "Nothing to change."
    assert marked(out, "=")

    write(file, world.document(name, tier="Distributed" if tier == "Pooled" else "Pooled"))
    code, out, err = await plan(world, file, **here)
    assert (code, err) == (CHANGES, "")
    assert marked(out, "+"), "what the new place needs is to be made"


async def test_a_changed_program(world: World, kubelet: Kubelet, file: Path) -> None:
    name = world.name()
    await world.make_credentials(name, **SECRETS)
    await world.make(name, credentials=False)
    async with world.operator():
        await world.until(name, "Ready")

    options: dict[str, Any] = {"retention": {"topicHours": 24}, "dashboard": {"host": "points.example.com"}}
    write(file, world.document(name, **options))
    code, out, err = await plan(world, file)
    assert (code, err) == (CHANGES, "")
    assert f"Ingress {names.namespace(name)}/dashboard" in marked(out, "~")
    assert 'LOYALNEST_TOPIC_RETENTION_HOURS: "168", should be "24"' in out
    assert '"points.example.com"' in out
    assert [each.split("/")[1][:8] for each in marked(out, "+")] == ["prepare-"]
    assert [each.split("/")[1][:8] for each in marked(out, "-")] == ["prepare-"]

    write(file, world.document(name, tier="Distributed"))
    code, out, err = await plan(world, file)
    assert code == CHANGES
    assert f"Deployment {names.namespace(name)}/points" in marked(out, "+")
    assert f"Deployment {names.namespace(name)}/loyalnest" in marked(out, "-")

    write(file, world.document(name), apiSecret="never-to-be-seen")
    code, out, err = await plan(world, file)
    assert code == CHANGES
    assert f"Secret {names.namespace(name)}/program" in marked(out, "~")
    for value in (*SECRETS.values(), "never-to-be-seen"):
        assert value not in out + err


async def test_what_is_wrong_is_said_in_one_line(world: World, file: Path, tmp_path: Path) -> None:
    write(file, world.document(world.name(), tier="Gigantic"))
    code, out, err = await plan(world, file)
    assert (code, out) == (1, "")
    assert "spec.tier" in err
    assert len(err.splitlines()) == 1

    code, out, err = await plan(world, tmp_path / "nowhere.yaml")
    assert (code, out) == (1, "")
    assert "there is no such file" in err
    assert len(err.splitlines()) == 1

    write(file, world.document(world.name(), services={"auth": {"enabled": False}}))
    code, out, err = await plan(world, file)
    assert code == 1
    assert "spec.services.auth.enabled" in err


async def test_without_a_cluster_there_is_one_line(world: World, file: Path, tmp_path: Path) -> None:
    write(file, world.document(world.name()))
    code, out, err = await plan(world, file, KUBECONFIG=str(tmp_path / "missing.kubeconfig"))
    assert (code, out) == (1, "")
    assert "set KUBECONFIG" in err
    assert len(err.splitlines()) == 1

    document = yaml.safe_load(world.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "away.kubeconfig").write_text(yaml.safe_dump(document))
    code, out, err = await plan(world, file, KUBECONFIG=str(tmp_path / "away.kubeconfig"))
    assert (code, out) == (1, "")
    assert "The API server does not answer" in err
    assert len(err.splitlines()) == 1
