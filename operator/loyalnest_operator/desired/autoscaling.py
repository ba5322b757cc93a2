"""What scales a workload: by processor, and by what waits in its topics where KEDA is there."""

from typing import Any

from loyalnest_operator import names
from loyalnest_operator.desired.manifests import manifest
from loyalnest_operator.desired.packing import Packing, Workload
from loyalnest_operator.facts import Manifest

CPU_PERCENT = 70
"""Of what pods request; above it there are more pods."""
LAG_EVENTS = 2000
"""Events of a topic that may wait for one process: two batches. Above it there are more processes."""

_EXCLUDED = "scaledobject.keda.sh/hpa-excluded-labels"


def autoscaler(packing: Packing, workload: Workload) -> Manifest:
    """The object that owns the workload's number of replicas."""
    if packing.facts.capabilities.keda and workload.consumes:
        return _by_lag(packing, workload)
    return _by_processor(packing, workload)


def _by_processor(packing: Packing, workload: Workload) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name},
        "minReplicas": workload.fewest,
        "maxReplicas": workload.most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    labels = packing.labels(workload.component)
    return manifest(
        "HorizontalPodAutoscaler", workload.name, packing.namespace, labels, api="autoscaling/v2", spec=spec
    )


def _by_lag(packing: Packing, workload: Workload) -> Manifest:
    """KEDA makes an HPA of its own from this; with our labels it would be taken for one of ours, and pruned."""
    labels = packing.labels(workload.component)
    triggers = [_trigger(packing, service.name, topic) for service in workload.services for topic in service.consumes]
    triggers.append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(CPU_PERCENT)}})
    spec = {
        "scaleTargetRef": {"name": workload.name},
        "minReplicaCount": workload.fewest,
        "maxReplicaCount": workload.most,
        "triggers": triggers,
    }
    annotations = {_EXCLUDED: ",".join(sorted(labels))}
    return manifest(
        "ScaledObject",
        workload.name,
        packing.namespace,
        labels,
        api="keda.sh/v1alpha1",
        annotations=annotations,
        spec=spec,
    )


def _trigger(packing: Packing, group: str, topic: str) -> dict[str, Any]:
    """Topics and consumer groups are named as `loyalnest.kit.bus.kafka` names them."""
    prefix = names.topic_prefix(packing.name)
    metadata = {
        "bootstrapServers": packing.facts.settings.kafka_brokers,
        "consumerGroup": f"{prefix}{group}.{topic}",
        "topic": f"{prefix}{topic}",
        "lagThreshold": str(LAG_EVENTS),
        "offsetResetPolicy": "earliest",
    }
    return {"type": "kafka", "metadata": metadata}
