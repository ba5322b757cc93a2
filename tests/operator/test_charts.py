"""The charts: what helm makes of them, what they refuse, and that they agree with the code."""

import re
import tarfile
from pathlib import Path

import pytest
import yaml

import loyalnest
from fixtures.charts import CHARTS, NAMES, ROOT, Manifest, found, full, full_values, pods, rendered, run

CRD = ROOT / "crds" / "loyaltyprograms.loyalnest.io.yaml"
OPERATOR = ("--set", "existingSecret=stores")
POOL = ("--set", "secret.create=false")


@pytest.mark.parametrize("chart", NAMES)
def test_lints(chart: str) -> None:
    result = run("lint", "--strict", CHARTS / chart, "-f", full_values(chart))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("chart", NAMES)
def test_is_of_this_version(chart: str) -> None:
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == loyalnest.__version__


@pytest.mark.parametrize("chart", NAMES)
def test_makes_every_object_once_and_labels_it(chart: str) -> None:
    objects = [each for each in full(chart) if each["kind"] != "CustomResourceDefinition"]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    for each in objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "loyalnest", each["metadata"]["name"]


@pytest.mark.parametrize("chart", NAMES)
def test_pods_are_as_restricted_as_the_strictest_standard_asks(chart: str) -> None:
    specs = dict(pods(full(chart)))
    assert specs
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec.get("automountServiceAccountToken", True) is (name == "Deployment loyalnest-operator"), name
        assert spec["imagePullSecrets"] == [{"name": "registry"}], name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("chart", NAMES)
def test_every_pod_of_a_service_or_store_is_under_a_network_policy(chart: str) -> None:
    objects = full(chart)
    policies = [each["spec"] for each in objects if each["kind"] == "NetworkPolicy"]
    closed = [each["podSelector"]["matchLabels"].items() for each in policies if "Egress" in each["policyTypes"]]
    for each in objects:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            labels = each["spec"]["template"]["metadata"]["labels"].items()
            assert any(wanted <= labels for wanted in closed), each["metadata"]["name"]


@pytest.mark.parametrize(
    ("chart", "value", "words"),
    [
        ("loyalnest-operator", "replicas=0", "'/replicas': minimum: got 0, want 1"),
        ("loyalnest-operator", "settings.kafkaPartitons=3", "'kafkaPartitons' not allowed"),
        ("loyalnest-operator", "settings.workers=101", "'/settings/workers': maximum: got 101, want 100"),
        ("loyalnest-operator", "settings.logLevel=LOUD", "'/settings/logLevel': value must be one of 'DEBUG'"),
        ("loyalnest-operator", "settings.serviceResources.requests.cpu=null", "missing property 'cpu'"),
        ("loyalnest-operator", "settings.backingPeers[0].cidr=10.0.0.0/8", "'cidr' not allowed"),
        ("loyalnest-operator", "image.digest=latest", "'/image/digest'"),
        ("loyalnest-operator", "postgresUrl=mysql://a:hidden@b/c", "Give postgresUrl (postgresql://"),
        ("loyalnest-operator", "redisUrl=hidden", "Give redisUrl (redis://"),
        ("loyalnest", "settings.bus=rabbit", "'/settings/bus'"),
        ("loyalnest", "replicas.min=none", "'/replicas/min': got string, want integer"),
        ("loyalnest", "secret.databaseUrl=hidden", "Give secret.databaseUrl (postgresql://"),
        ("loyalnest", "secret.encryptionKeys=first:hidden", "openssl rand -base64 32"),
        ("loyalnest-backing", "kafka.heap=512", "'/kafka/heap'"),
        ("loyalnest-backing", "persistance.enabled=true", "'persistance' not allowed"),
    ],
)
def test_refuses_a_wrong_value_in_words_and_without_telling_secrets(chart: str, value: str, words: str) -> None:
    result = run("template", "test", CHARTS / chart, "-f", full_values(chart), "--set", value)
    assert result.returncode != 0
    assert words in result.stderr
    assert "hidden" not in result.stderr


@pytest.mark.parametrize(
    ("chart", "words"), [("loyalnest-operator", "Give postgresUrl"), ("loyalnest", "Give secret.databaseUrl")]
)
def test_asks_for_what_has_no_default(chart: str, words: str) -> None:
    result = run("template", "test", CHARTS / chart)
    assert result.returncode != 0
    assert words in result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "clusters" / "values").rglob("*.yaml")), ids=str)
def test_values_of_an_environment_are_accepted(path: Path) -> None:
    chart = {"operator": "loyalnest-operator", "pool": "loyalnest", "backing": "loyalnest-backing"}[path.stem]
    assert rendered(chart, "-f", path)


def test_the_package_holds_the_only_crd(tmp_path: Path) -> None:
    result = run("package", CHARTS / "loyalnest-operator", "-d", tmp_path)
    assert result.returncode == 0, result.stderr
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        inside = package.extractfile(f"loyalnest-operator/definitions/{CRD.name}")
        assert inside is not None
        assert inside.read() == CRD.read_bytes()
        assert not [name for name in package.getnames() if "/ci/" in name]


def test_the_crd_is_installed_as_it_stands_and_kept() -> None:
    wanted: Manifest = yaml.safe_load(CRD.read_text())
    installed = found(full("loyalnest-operator"), "CustomResourceDefinition", wanted["metadata"]["name"])
    annotations = installed["metadata"].pop("annotations")
    assert annotations == {**wanted["metadata"].pop("annotations", {}), "helm.sh/resource-policy": "keep"}
    assert installed == wanted
    without = rendered("loyalnest-operator", *OPERATOR, "--set", "crds.install=false")
    assert "CustomResourceDefinition" not in {each["kind"] for each in without}


def test_rights_are_narrow_sorted_and_explained() -> None:
    objects = full("loyalnest-operator")
    roles = [each for each in objects if each["kind"] in {"Role", "ClusterRole"}]
    rules = [rule for each in roles for rule in each["rules"]]
    for role in roles:
        named = [(group, each) for rule in role["rules"] for group in rule["apiGroups"] for each in rule["resources"]]
        assert len(named) == len(set(named)), "a resource is named twice"
    for rule in rules:
        for part in ("apiGroups", "resources", "verbs"):
            assert "*" not in rule[part]
            assert rule[part] == sorted(rule[part])
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"])
    template = (CHARTS / "loyalnest-operator" / "templates" / "rbac.yaml").read_text()
    explained = re.findall(r"^  # [a-z]+(?:, [a-z]+)*: .+\n(?:  # .+\n)*  - apiGroups", template, re.MULTILINE)
    assert len(explained) == len(rules), "each rule begins with the modules that need it"


def test_stores_keep_passwords_with_their_volumes() -> None:
    secret = found(full("loyalnest-backing"), "Secret", "backing")
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    data = secret["stringData"]
    assert len({data["postgres-password"], data["pool-password"], data["redis-password"]}) == 3
    assert f":{data['pool-password']}@postgresql.there.svc:5432/loyalnest_pool" in data["pool-database-url"]
    assert data["pool.sql"].count(data["pool-password"]) == 1


def test_a_pod_without_a_volume_of_its_own_needs_no_claim() -> None:
    for each in rendered("loyalnest-backing", "--set", "persistence.enabled=false"):
        if each["kind"] == "StatefulSet":
            assert "volumeClaimTemplates" not in each["spec"]
            assert {"name": "data", "emptyDir": {}} in each["spec"]["template"]["spec"]["volumes"]


def test_a_single_operator_may_be_moved_and_two_are_never_both_away() -> None:
    budget = found(full("loyalnest-operator"), "PodDisruptionBudget", "loyalnest-operator")
    assert budget["spec"]["maxUnavailable"] == 1
    alone = rendered("loyalnest-operator", *OPERATOR, "--set", "replicas=1")
    assert "PodDisruptionBudget" not in {each["kind"] for each in alone}


def test_only_an_autoscaler_or_the_deployment_says_how_many_run() -> None:
    scaled = full("loyalnest")
    assert "replicas" not in found(scaled, "Deployment", "points")["spec"]
    bounds = found(scaled, "HorizontalPodAutoscaler", "points")["spec"]
    assert (bounds["minReplicas"], bounds["maxReplicas"]) == (4, 12)
    fixed = rendered("loyalnest", *POOL, "--set", "autoscaling.enabled=false")
    assert found(fixed, "Deployment", "points")["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in fixed}


def test_a_pod_of_the_pool_gets_time_to_drain() -> None:
    spec = found(full("loyalnest"), "Deployment", "points")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 5 + 4 * 12.5


def test_the_pool_is_migrated_before_its_pods_roll_with_an_address_of_its_own() -> None:
    objects = full("loyalnest")
    job, secret = found(objects, "Job", "pool-migration"), found(objects, "Secret", "pool-migration")
    for each in (job, secret):
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    services = [
        each["metadata"]["labels"]["app.kubernetes.io/component"] for each in objects if each["kind"] == "Deployment"
    ]
    assert container["args"][:2] == ["migrate", "--services"]
    assert sorted(container["args"][2].split(",")) == sorted(services)
    given = found(rendered("loyalnest", *POOL), "Job", "pool-migration")
    (variable,) = given["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "pool"
