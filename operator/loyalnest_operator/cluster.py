"""The API server: the few calls that the operator makes, each counted, each with a time limit."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import aiohttp
import kopf
import msgspec
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException

from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest_operator import metrics
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import LEASE, PROGRAM, Kind, kind_of
from loyalnest_operator.names import FIELD_MANAGER
from loyalnest_operator.objects import Ref, ref_of, with_hash

REQUEST_SECONDS = 30.0
PAGE = 200
"""Objects that are listed at a time, so in memory."""


class Refused(InvalidInput):
    """The API server will not have an object as it is, or we lack the right. Its words are for an admin."""


class FieldConflict(Refused):
    """Fields that we want belong to somebody else. `causes`: the API server's words by field."""

    def __init__(self, detail: str, causes: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.causes = causes

    @property
    def deliberate(self) -> bool:
        """Whether another manager applied a field, so means to keep it; else somebody only changed it once."""
        return any(" using " not in words for words in self.causes.values())


class Contested(FieldConflict):
    """Somebody changes an object back each time that it is put right, so it is left as it is for a while."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {})


class Stale(Unavailable):
    """Somebody was faster; look again."""


class Cluster:
    """One connection pool to the API server. `connect` first, `close` last."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before every write but those of the Lease itself, so that one who has lost the lead writes nothing."""

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, connections: int = 32) -> "Cluster":
        """By the pod's service account, else by `kubeconfig` or KUBECONFIG. Raises InvalidInput if there is none."""
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = connections
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException:
            try:
                await config.load_kube_config(kubeconfig, client_configuration=configuration)
            except ConfigException as error:
                raise InvalidInput(f"No cluster: set KUBECONFIG, or run in a pod. {error}") from error
        return cls(client.ApiClient(configuration))

    async def login(self) -> kopf.ConnectionInfo:
        """The same way to the API server for Kopf, which asks again when a token was refused."""
        configuration = self._api.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken") or ""
        scheme, _, token = header.rpartition(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            ca_data=configuration.ca_cert_data,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Manifest | None:
        """One object, or None if it is not there."""
        status, body = await self._call("GET", kind, kind.path(namespace, name))
        return None if status == 404 else _object(body)

    async def all_of(self, kind: Kind, namespace: str = "", labels: str = "") -> list[Manifest]:
        """All objects of a kind, of one namespace or of all. An optional kind that the cluster lacks has none."""
        return [each async for _, page in self.pages(kind, namespace, labels) for each in page]

    async def pages(
        self, kind: Kind, namespace: str = "", labels: str = "", accept: str = "application/json"
    ) -> AsyncIterator[tuple[int, list[Manifest]]]:
        """All objects of a kind, page by page, each with the version of the whole list, which is one moment's.

        accept: the form of the answer, such as only the objects' metadata.
        """
        query: dict[str, str] = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            status, body = await self._call("GET", kind, kind.path(namespace), query, accept=accept)
            if status == 404:
                return
            page = _object(body)
            items = [
                each | {"apiVersion": kind.api_version, "kind": kind.kind} for each in page["items"] or []
            ]  # a list of metadata has null for none
            yield int(page["metadata"]["resourceVersion"]), items
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]

    async def served(self, kind: Kind) -> bool:
        """Whether the cluster has this kind."""
        status, body = await self._call("GET", kind, f"/apis/{kind.api_version}" if kind.group else "/api/v1")
        return status != 404 and any(each["name"] == kind.plural for each in _object(body)["resources"])

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        """Server-side apply as the operator's field manager, with the digest of what is applied; the live object.

        force: take over fields that others have set. Raises FieldConflict without it.
        """
        ref = ref_of(manifest)
        kind = kind_of(ref.api_version, ref.kind)
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(ref.namespace, ref.name)
        _, body = await self._call(
            "PATCH", kind, path, query, with_hash(manifest), "application/apply-patch+yaml", what=f"{ref}"
        )
        return _object(body)

    async def patch(
        self, kind: Kind, name: str, body: Manifest, namespace: str = "", subresource: str = ""
    ) -> Manifest | None:
        """Merge `body` into an object; None if it is gone. A resourceVersion in it makes a race a Stale."""
        path = kind.path(namespace, name, subresource)
        status, answer = await self._call(
            "PATCH", kind, path, {"fieldManager": FIELD_MANAGER}, body, "application/merge-patch+json"
        )
        return None if status == 404 else _object(answer)

    async def create(self, kind: Kind, body: Manifest, namespace: str = "") -> Manifest:
        """Make an object. Raises Stale if there is one of that name."""
        _, answer = await self._call("POST", kind, kind.path(namespace), {"fieldManager": FIELD_MANAGER}, body)
        return _object(answer)

    async def replace(self, kind: Kind, name: str, body: Manifest, namespace: str = "") -> Manifest:
        """Put an object in place of the one whose resourceVersion it has. Raises Stale if that has changed."""
        path = kind.path(namespace, name)
        _, answer = await self._call("PUT", kind, path, {"fieldManager": FIELD_MANAGER}, body)
        return _object(answer)

    async def delete(self, ref: Ref, *, foreground: bool = False) -> bool:
        """Delete an object and what depends on it. False if it was not there.

        foreground: the object itself goes last, such as a Deployment after its pods.
        """
        kind = kind_of(ref.api_version, ref.kind)
        policy = "Foreground" if foreground else "Background"
        status, _ = await self._call("DELETE", kind, kind.path(ref.namespace, ref.name), {"propagationPolicy": policy})
        return status != 404

    async def _call(
        self,
        verb: str,
        kind: Kind,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
        what: str = "",
        accept: str = "application/json",
    ) -> tuple[int, bytes]:
        """The answer's status, 2xx or 404 of a read, a patch or a delete, and its body. Raises the rest as errors."""
        if verb != "GET" and kind is not LEASE and not self.may_write():
            raise Unavailable("The lead is not ours any more, so nothing is written.")
        headers = {"Accept": accept, "Content-Type": content_type}
        code = "error"
        try:
            _, url, headers, *_ = await self._api.param_serialize(
                verb,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                auth_settings=["BearerToken"],
            )
            response = await self._api.rest_client.request(
                verb, url, headers=headers, body=body, _request_timeout=REQUEST_SECONDS
            )
            content = cast("bytes", await response.read())
            code = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"The API server does not answer: {error!r}.") from error
        finally:
            metrics.API_CALLS.labels(verb, kind.kind, code).inc()
        status: int = response.status
        if status < 300 or (status == 404 and verb in ("GET", "DELETE")) or (status == 404 and kind is PROGRAM):
            return status, content
        raise _error(status, content, what or f"{verb} {path}")


def _object(body: bytes) -> Manifest:
    try:
        return cast("Manifest", msgspec.json.decode(body))
    except msgspec.DecodeError as error:
        raise Unavailable(f"What the API server answers is no JSON: {error}.") from error


def _error(status: int, content: bytes, what: str) -> Exception:
    try:
        answer = _object(content)
    except Unavailable:
        answer = {"message": content[:200].decode(errors="replace")}
    message = f"{what}: {answer.get('message', '')} (HTTP {status})"
    if status == 409:
        causes = (answer.get("details") or {}).get("causes") or []
        found = {each.get("field", ""): each.get("message", "") for each in causes if "FieldManager" in each["reason"]}
        return FieldConflict(message, found) if found else Stale(message)
    if status in (429, 500, 502, 503, 504):
        return Unavailable(message)
    return Refused(message)
