"""The manifests: rendered by kubectl, valid for three versions of Kubernetes, restricted, and in agreement with themselves and with the code."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kubernetes import rules
from notary_server.config import inspect as inspect_server
from notary_signer.config import inspect as inspect_signer

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
TOOLS = ROOT / ".venv" / "tools" / "bin"
VERSIONS = ("1.33", "1.35", "1.37")
"""The oldest has every field that the manifests use, the newest is the latest whose schemas can be had."""
OVERLAYS = ("development", "region", "region-far")
REGIONS = ("eu-west", "eu-central", "us-east", "us-west", "ap-southeast")
COMPOSED = {
    "spiffe": ["cert-manager", "hsm", "spiffe"],
    "bare": ["cert-manager"],
    **{name: ["cert-manager", f"regions/{name}", "placement", "signers-elsewhere"] for name in REGIONS},
}
"""Components that no overlay has together, over the base."""
CUSTOM = {"Certificate", "Issuer", "ServiceMonitor", "PrometheusRule"}
"""Of cert-manager and the Prometheus operator: no package carries their schemas, so what is used of them is looked at below."""
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
UNHEEDED = {
    "CKV_K8S_11": "no limit of CPU: a throttled server answers late, and the request is what the scheduler shares by",
    "CKV_K8S_15": "images have versions, not `latest`, so those that are there need not be asked for again",
    "CKV_K8S_40": "the user of the image postgres, in the overlay for development",
    "CKV_K8S_43": "digests are of whoever builds the images: `kustomize edit set image`, docs/operations/kubernetes.md",
}
"""What the linter finds and we leave, and why."""

Manifest = dict[str, Any]


@cache
def text(name: str) -> str:
    """All of an overlay, or of `COMPOSED`, as kubectl renders it."""
    folder = KUBERNETES / "overlays" / name
    done = subprocess.run(
        [TOOLS / "kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Everything that is rendered, by name."""
    found = {name: manifests(text(name)) for name in OVERLAYS}
    for name, components in COMPOSED.items():
        # kubectl wants relative paths.
        folder = KUBERNETES / "overlays" / f".{name}-{tmp_path_factory.getbasetemp().name}"
        folder.mkdir()
        try:
            kustomization = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "namespace": "notary",
                "resources": ["../../base"],
                "components": [f"../../components/{one}" for one in components],
            }
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
            found[name] = manifests(text(folder.name))
        finally:
            (folder / "kustomization.yaml").unlink()
            folder.rmdir()
    return found


def manifests(rendered: str) -> list[Manifest]:
    """One for each object."""
    return [one for one in yaml.safe_load_all(rendered) if one is not None]


def of_kind(found: list[Manifest], *kinds: str) -> Iterator[Manifest]:
    """Those of these kinds."""
    return (one for one in found if one["kind"] in kinds)


def named(found: list[Manifest], kind: str, name: str) -> Manifest:
    """The one with this name; a hash that kustomize put behind it does not count."""
    (one,) = (
        one
        for one in of_kind(found, kind)
        if re.fullmatch(rf"{name}(-[0-9a-z]{{10}})?", one["metadata"]["name"])
    )
    return one


def pods(found: list[Manifest]) -> Iterator[tuple[str, Manifest, dict[str, str]]]:
    """Name, template's spec and labels of every workload."""
    for one in of_kind(found, *WORKLOADS):
        template = one["spec"]["template"]
        yield one["metadata"]["name"], template["spec"], template["metadata"]["labels"]


def containers(pod: Manifest) -> list[Manifest]:
    """Those that run, and those before them."""
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_overlay_fits_the_schemas(name: str, version: str, tmp_path: Path) -> None:
    """Strictly: an unknown field is an error."""
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(one for one in manifests(text(name)) if one["kind"] not in CUSTOM))
    done = subprocess.run(
        [TOOLS / "kubernetes-validate", "--strict", "--version", version, path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_nothing_but_what_is_left_on_purpose(tmp_path: Path) -> None:
    """checkov's rules for Kubernetes, over all overlays."""
    for name in OVERLAYS:
        (tmp_path / f"{name}.yaml").write_text(text(name))
    done = subprocess.run(
        [TOOLS / "checkov", "--framework", "kubernetes", "--directory", tmp_path, "--output", "json", "--quiet",
         "--skip-download", "--soft-fail"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    results = json.loads(done.stdout)
    assert results["summary"]["passed"] > 500
    assert results["summary"]["parsing_errors"] == 0
    found = {check["check_id"]: check["check_name"] for check in results["results"]["failed_checks"]}
    assert set(found) == set(UNHEEDED), found


def test_every_pod_is_restricted(composed: dict[str, list[Manifest]]) -> None:
    """As the Pod Security standard says, which the namespace enforces, and with a file system that is only read."""
    for found in composed.values():
        (namespace,) = of_kind(found, "Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        for _, pod, _ in pods(found):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] > 0
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
            allowed = {"configMap", "csi", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
            assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
            for container in containers(pod):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
                assert "memory" in container["resources"]["limits"]


def test_what_is_named_is_there(composed: dict[str, list[Manifest]]) -> None:
    """Volumes, ConfigMaps, service accounts, ports; Secrets that cert-manager makes. Two Secrets are the operator's."""
    for found in composed.values():
        maps = {one["metadata"]["name"]: one["data"] for one in of_kind(found, "ConfigMap")}
        accounts = {one["metadata"]["name"] for one in of_kind(found, "ServiceAccount")}
        secrets = {one["spec"]["secretName"] for one in of_kind(found, "Certificate")}
        for name, pod, _ in pods(found):
            assert pod["serviceAccountName"] in accounts
            claims = {
                claim["metadata"]["name"]
                for one in of_kind(found, "StatefulSet")
                if one["metadata"]["name"] == name
                for claim in one["spec"].get("volumeClaimTemplates", [])
            }
            volumes = {volume["name"] for volume in pod["volumes"]} | claims
            for container in containers(pod):
                mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
                assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
                assert len(set(mounted)) == len(mounted)
                ports = {port["name"] for port in container.get("ports", [])}
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    assert container.get(probe, {}).get("httpGet", {"port": "management"})[
                        "port"
                    ] in ports | {"management"}
                    assert "httpGet" not in container.get(probe, {}) or "management" in ports
                for variable in container.get("env", []):
                    reference = variable.get("valueFrom", {}).get("configMapKeyRef")
                    assert reference is None or reference["key"] in maps[reference["name"]]
            for volume in pod["volumes"]:
                assert volume.get("configMap", {}).get("name") in {None, *maps}
                wanted = {
                    source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])
                } | {volume.get("secret", {}).get("secretName")}
                assert wanted <= secrets | {None, "notary-signer-pin", "notary-hsm"}


def test_selectors_find_the_pods_that_they_are_for(composed: dict[str, list[Manifest]]) -> None:
    """Services, budgets, spreading and policies; a policy for a port that nobody opens would be a slip."""
    for found in composed.values():
        labelled = [labels for _, _, labels in pods(found)]
        opened = {
            port["containerPort"]
            for _, pod, _ in pods(found)
            for container in containers(pod)
            for port in container.get("ports", [])
        }

        def chosen(selector: Manifest, labelled: list[dict[str, str]] = labelled) -> int:
            wanted = selector.get("matchLabels", {})
            among = selector.get("matchExpressions", [])
            return sum(
                wanted.items() <= labels.items()
                and all(labels.get(one["key"]) in one["values"] for one in among)
                for labels in labelled
            )

        for one in of_kind(found, "Service"):
            assert chosen({"matchLabels": one["spec"]["selector"]}) == 1, one["metadata"]["name"]
        for one in of_kind(found, "PodDisruptionBudget"):
            assert chosen(one["spec"]["selector"]) == 1
        for _, pod, labels in pods(found):
            for spread in pod.get("topologySpreadConstraints", []):
                assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
        for one in of_kind(found, "NetworkPolicy"):
            assert chosen(one["spec"]["podSelector"]) > 0, one["metadata"]["name"]
            for rule in one["spec"].get("ingress", []):
                assert {port["port"] for port in rule["ports"]} <= opened


def test_only_servers_reach_the_signer(composed: dict[str, list[Manifest]]) -> None:
    """Whatever is not allowed is denied, and one policy alone allows something in to the signer's port."""
    for name, found in composed.items():
        default = named(found, "NetworkPolicy", "notary-default")["spec"]
        assert default["podSelector"] == {}
        assert default["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in default
        into = [
            rule
            for one in of_kind(found, "NetworkPolicy")
            for rule in one["spec"].get("ingress", [])
            if any(port["port"] == 7899 for port in rule["ports"])
        ]
        servers = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "notary-server"}}}]
        assert into in ([{"from": servers, "ports": [{"port": 7899, "protocol": "TCP"}]}], []), name


def test_three_servers_spread_over_two_zones() -> None:
    """In every region, and one may be away for the upkeep of a node."""
    for name in ("region", "region-far"):
        found = manifests(text(name))
        scaling = named(found, "HorizontalPodAutoscaler", "notary-server")["spec"]
        assert scaling["minReplicas"] == 3
        assert scaling["scaleTargetRef"]["name"] == "notary-server"
        # What it scales must not be set by every apply, too.
        assert "replicas" not in named(found, "Deployment", "notary-server")["spec"]
        spread = named(found, "Deployment", "notary-server")["spec"]["template"]["spec"][
            "topologySpreadConstraints"
        ]
        assert {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} == {
            one["topologyKey"] for one in spread
        }
        assert named(found, "PodDisruptionBudget", "notary-server")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_is_placed_on_its_nodes_and_called_by_its_name(
    composed: dict[str, list[Manifest]], region: str
) -> None:
    """And brings no signer, tables or keys of its own."""
    found = composed[region]
    pod = named(found, "Deployment", "notary-server")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"topology.kubernetes.io/region": f"{region}-1"}
    assert named(found, "Certificate", "notary-server")["spec"]["dnsNames"] == [f"trust.{region}.example.org"]
    assert {one["kind"] for one in found} & {"StatefulSet", "Job"} == set()
    assert "signer" not in {
        one["metadata"]["name"].split("-")[1] for one in of_kind(found, "Service", "Certificate")
    }


def test_nothing_secret_is_in_the_repository(composed: dict[str, list[Manifest]]) -> None:
    """No Secret at all; addresses of databases without passwords."""
    for found in composed.values():
        assert not list(of_kind(found, "Secret"))
        for url in named(found, "ConfigMap", "notary-databases")["data"].values():
            assert re.match(r"postgres://notary_(server|signer)@[^:/@]+:5432/", url)


def test_every_configuration_is_one_that_the_daemons_take(
    composed: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    """With the variables of the pod, and files where its volumes have them."""
    for name, found in composed.items():
        databases = named(found, "ConfigMap", "notary-databases")["data"]
        for daemon, inspect in (("server", inspect_server), ("signer", inspect_signer)):
            folder = tmp_path / name / daemon
            folder.mkdir(parents=True)
            workload = {"server": "Deployment", "signer": "StatefulSet"}[daemon]
            if not any(one["metadata"]["name"] == f"notary-{daemon}" for one in of_kind(found, workload)):
                continue
            pod = named(found, workload, f"notary-{daemon}")["spec"]["template"]["spec"]
            config = named(found, "ConfigMap", f"notary-{daemon}-config")["data"][f"{daemon}-config.json"]
            url = databases[f"NOTARY_{daemon.upper()}_STORAGE_DB_URL"]
            for file in _mounted(pod):
                (folder / Path(file).name).write_text("1234")
                config, url = (part.replace(file, str(folder / Path(file).name)) for part in (config, url))
            config = config.replace("/usr/lib/softhsm/libsofthsm2.so", str(folder / "libpkcs11.so"))
            (folder / "libpkcs11.so").touch()
            assert "/etc/notary" not in config + url, "a file that no volume brings"
            path = folder / f"{daemon}-config.json"
            path.write_text(config)
            reading = inspect(path, {f"NOTARY_{daemon.upper()}_STORAGE_DB_URL": url})
            assert not reading.problems, (name, daemon, reading.problems)


def _mounted(pod: Manifest) -> Iterator[str]:
    """The files that the main container finds in Secrets."""
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            yield from (f"{mounts[volume['name']]}/{item['path']}" for item in source["secret"]["items"])
        if volume["name"] == "pin":
            yield f"{mounts['pin']}/pin"


def test_servers_name_every_signer_and_its_certificate_has_the_names(
    composed: dict[str, list[Manifest]],
) -> None:
    """Who raises the number of signers has to name the new one in both."""
    for name in ("region", "bare"):
        found = composed[name]
        trust = json.loads(named(found, "ConfigMap", "notary-server-config")["data"]["server-config.json"])[
            "trust_service"
        ]
        names = [trust["hostname"], *(signer.rpartition(":")[0] for signer in trust["signers"])]
        number = named(found, "StatefulSet", "notary-signer")["spec"]["replicas"]
        assert names == [f"notary-signer-{place}.notary-signer" for place in range(number)]
        assert names == named(found, "Certificate", "notary-signer")["spec"]["dnsNames"]


def test_custom_objects_have_what_their_operators_want(composed: dict[str, list[Manifest]]) -> None:
    """By hand, for want of their schemas: an issuer for every certificate, a port for every monitor."""
    for name, found in composed.items():
        issuers = {one["metadata"]["name"] for one in of_kind(found, "Issuer")} or {
            "notary-internal",
            "notary-public",
        }
        for one in of_kind(found, "Certificate"):
            spec = one["spec"]
            assert one["apiVersion"] == "cert-manager.io/v1"
            assert spec["issuerRef"]["name"] in issuers, name
            assert spec.get("dnsNames") or spec.get("commonName")
        for one in of_kind(found, "ServiceMonitor"):
            (choice,) = one["spec"]["selector"]["matchExpressions"]
            for service in choice["values"]:
                if name == "region":
                    ports = {port["name"] for port in named(found, "Service", service)["spec"]["ports"]}
                    assert {endpoint["port"] for endpoint in one["spec"]["endpoints"]} <= ports


def test_the_operator_gets_the_same_alert_rules() -> None:
    """Made anew by `python -m deploy.kubernetes.rules`."""
    assert rules.MADE.read_text() == rules.rules()


def test_migrations_run_what_the_images_have(composed: dict[str, list[Manifest]]) -> None:
    """As commands that exist: an argument that is not known would end every job."""
    for name, pod, _ in pods(composed["development"]):
        for container in containers(pod):
            if container["image"].startswith("notary-trust-"):
                program = ROOT / ".venv" / "bin" / container["image"].partition(":")[0].replace("trust-", "")
                arguments = [one for one in container["args"] if not one.startswith("/etc")]
                done = subprocess.run(
                    [program, *(one for one in arguments if one != "--config"), "--help"],
                    capture_output=True, text=True, timeout=30, check=False,
                )  # fmt: skip
                assert done.returncode == 0, (name, done.stderr)
