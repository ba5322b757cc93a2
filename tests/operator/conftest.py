"""Real Kubernetes API servers, with the LoyaltyProgram resource installed."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.kubernetes import ApiServer, ControlPlane

DEFINITIONS = Path(__file__).resolve().parents[2] / "crds"


@pytest.fixture(scope="session")
def api_server(server_folder: Path) -> Iterator[ApiServer]:
    """The API server that tests share: the one of LOYALNEST_TEST_KUBECONFIG, else one of this process's own.

    Names in it need to be the test's own.
    """
    given = os.environ.get("LOYALNEST_TEST_KUBECONFIG")
    if given:
        yield prepared(ApiServer.of(Path(given)))
        return
    plane = ControlPlane(server_folder / "kubernetes")
    try:
        plane.start()
        yield prepared(plane.api_server)
    finally:
        plane.stop()


@pytest.fixture(scope="module")
def control_plane(server_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of the module's own, to stop, kill and start."""
    plane = ControlPlane(Path(tempfile.mkdtemp(prefix="kubernetes-", dir=server_folder)))
    try:
        plane.start()
        prepared(plane.api_server)
        yield plane
    finally:
        plane.stop()


def prepared(server: ApiServer) -> ApiServer:
    """`server` with the resources of this repository."""
    for definition in sorted(DEFINITIONS.glob("*.yaml")):
        server.install(definition)
    return server
