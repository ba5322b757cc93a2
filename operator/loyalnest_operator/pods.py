"""What pods say when they do not come up."""

from collections.abc import Iterator

from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import POD

MOST_WORDS = 400
LOOK_SECONDS = 30.0
"""How often to ask pods that are waited for, since they are not watched."""


def of_job(name: str) -> str:
    """Label selector of a Job's pods."""
    return f"batch.kubernetes.io/job-name={name}"


async def last_words(cluster: Cluster, namespace: str, selector: str) -> str:
    """Why the newest pod of `selector` does not run, as far as it says; empty if it says nothing."""
    pods = await cluster.all_of(POD, namespace, selector)
    for pod in sorted(pods, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True):
        words = next(filter(None, _words(pod)), "")
        if words:
            return words
    return ""


def _words(pod: Manifest) -> Iterator[str]:
    status = pod.get("status") or {}
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        yield _of_container(container)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"not scheduled: {condition.get('message', '')}"


def _of_container(container: Manifest) -> str:
    states = [container.get("state") or {}, container.get("lastState") or {}]
    for state in states:
        ended = state.get("terminated")
        if ended and ended.get("exitCode"):
            return f"{container['name']} ended with {ended['exitCode']}: {_tail(ended.get('message', ''))}"
    waiting = states[0].get("waiting")
    if waiting and waiting.get("reason") not in ("PodInitializing", "ContainerCreating"):
        return f"{container['name']} {waiting.get('reason')}: {_tail(waiting.get('message', ''))}"
    return ""


def _tail(message: str) -> str:
    """The end of a log or a message, where the error stands."""
    text = " ".join(message.split())
    return text if len(text) <= MOST_WORDS else "…" + text[-MOST_WORDS:]
