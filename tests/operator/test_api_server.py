"""The fixture itself: the API server is a real one, and keeps its data when it is killed."""

import time

from kubernetes.client import ApiException, CoreV1Api, V1Namespace, V1ObjectMeta, VersionApi

from fixtures.kubernetes import ApiServer, ControlPlane

WAIT_SECONDS = 120


def namespace(name: str) -> V1Namespace:
    return V1Namespace(metadata=V1ObjectMeta(name=name))


def phase(api: CoreV1Api, name: str) -> str | None:
    try:
        status = api.read_namespace(name).status
    except ApiException as error:
        if error.status == 404:
            return None
        raise
    return status.phase if status else ""


def test_controllers_run(api_server: ApiServer) -> None:
    with api_server.client() as client:
        api = CoreV1Api(client)
        api.create_namespace(namespace("short-lived"))
        api.delete_namespace("short-lived")
        deadline = time.monotonic() + WAIT_SECONDS
        while phase(api, "short-lived") is not None:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_its_version_is_a_release(api_server: ApiServer) -> None:
    with api_server.client() as client:
        version = VersionApi(client).get_code()
    assert int(version.minor.rstrip("+")) >= 30
    assert "master" not in version.git_version


def test_a_killed_one_comes_back_with_its_data(control_plane: ControlPlane) -> None:
    before = control_plane.api_server
    with before.client() as client:
        CoreV1Api(client).create_namespace(namespace("survivor"))
    control_plane.stop_api_server(kill=True)
    control_plane.start_api_server()
    assert control_plane.api_server == before
    with before.client() as client:
        assert phase(CoreV1Api(client), "survivor") == "Active"
