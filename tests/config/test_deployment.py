"""What is handed to systemd and Kubernetes: that they take it, and that it fits what the origin does."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from config.load import load_settings
from config.model import Settings

CONFIG: Final = Path(__file__).resolve().parent.parent.parent / "config"
UNIT: Final = CONFIG / "service" / "origin.service"
MANIFESTS: Final = CONFIG / "kubernetes" / "live-origin.yaml"
PROGRAM: Final = "/srv/live-origin/bin/live-origin"
MEMORY_PER_PROCESS_BYTES: Final = 150 * 1024**2


# -- systemd


def unit_of(text: str) -> dict[str, dict[str, list[str]]]:
    """Return section -> key -> values; a key may be given several times."""
    unit: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = unit.setdefault(heading[1], {})
        else:
            key, equals, value = line.partition("=")
            assert equals and key.isalnum(), line
            section.setdefault(key, []).append(value)
    return unit


@pytest.fixture(scope="module")
def service() -> dict[str, list[str]]:
    return unit_of(UNIT.read_text())["Service"]


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "min": 60}[unit]


def test_the_unit_has_the_sections_that_systemd_knows() -> None:
    assert list(unit_of(UNIT.read_text())) == ["Unit", "Service", "Install"]


def test_the_unit_has_nothing_that_systemd_does_not_know(tmp_path: Path) -> None:
    """By systemd itself where it is installed; the program is not, so another one stands in for it."""
    verify = shutil.which("systemd-analyze")
    stand_in = tmp_path / "live-origin.service"
    stand_in.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
    command = [verify, "verify", "--man=no", str(stand_in)] if verify else ["true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_supervisor_tells_when_it_is_ready_and_tells_the_others_to_stop(service: dict[str, list[str]]) -> None:
    assert (service["Type"], service["NotifyAccess"], service["KillMode"]) == (["notify"], ["main"], ["mixed"])
    assert service["ExecStart"] == [f"{PROGRAM} serve --config /etc/live-origin/config.yaml"]
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert (service["Restart"], service["OOMPolicy"]) == (["on-failure"], ["continue"])


def test_systemd_waits_longer_than_requests_in_progress_may_take(service: dict[str, list[str]]) -> None:
    default_ms = Settings.model_fields["stop_timeout_ms"].default
    assert seconds(service["TimeoutStopSec"][0]) * 1_000 > 2 * default_ms


def test_the_unit_allows_as_many_files_as_the_default_limits_need(service: dict[str, list[str]]) -> None:
    connections = Settings.model_fields["limits"].default.connections
    assert int(service["LimitNOFILE"][0]) >= 2 * connections + 512


@pytest.mark.parametrize("key", ["NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"])
def test_the_unit_takes_away_what_is_not_needed(service: dict[str, list[str]], key: str) -> None:
    assert service[key] == ["yes"]
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == (["strict"], [""])
    assert service["StateDirectory"] == ["live-origin"]


# -- Kubernetes


@pytest.fixture(scope="module")
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    documents = yaml.safe_load_all(MANIFESTS.read_text())
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


@pytest.fixture
def settings(manifests: dict[tuple[str, str], dict[str, Any]], tmp_path: Path) -> Settings:
    """The settings that the manifests carry."""
    config = tmp_path / "config.yaml"
    config.write_text(manifests["ConfigMap", "live-origin"]["data"]["config.yaml"])
    return load_settings(config, {}, ())


@pytest.fixture
def pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    pod = manifests["StatefulSet", "live-origin"]["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def size_of(quantity: str) -> int:
    return int(quantity.removesuffix("Gi")) * 1024**3


def test_one_pod_has_one_journal(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    spec = manifests["StatefulSet", "live-origin"]["spec"]
    assert spec["replicas"] == 1
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_ports_and_paths_are_those_of_the_settings(pod: dict[str, Any], settings: Settings) -> None:
    (container,) = pod["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {name: getattr(settings.listen, name).port for name in ("deliver", "publish", "admin")}
    assert str(settings.storage.path) in {each["mountPath"] for each in container["volumeMounts"]}
    assert {getattr(settings.listen, name).host for name in ports} == {"0.0.0.0"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "admin"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_the_socket_between_the_processes_has_a_place_in_a_file_system_that_is_read_only(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (volume,) = [each["name"] for each in container["volumeMounts"] if each["mountPath"] == "/tmp"]
    (source,) = [each for each in pod["volumes"] if each["name"] == volume]
    assert source["emptyDir"]["medium"] == "Memory"


def test_services_lead_to_ports_of_the_pod(manifests: dict[tuple[str, str], dict[str, Any]]) -> None:
    template = manifests["StatefulSet", "live-origin"]["spec"]["template"]
    names = {each["name"] for each in template["spec"]["containers"][0]["ports"]}
    services = [each["spec"] for (kind, _), each in manifests.items() if kind == "Service"]
    assert services
    for service in services:
        assert service["selector"] == template["metadata"]["labels"]
        assert {port["targetPort"] for port in service["ports"]} <= names


def test_the_pod_is_given_the_time_that_a_stop_takes(pod: dict[str, Any], settings: Settings) -> None:
    (container,) = pod["containers"]
    before_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] * 1_000 > before_s * 1_000 + settings.stop_timeout_ms + 5_000


def test_the_memory_that_is_requested_holds_shared_memory_and_all_processes(
    pod: dict[str, Any], settings: Settings, manifests: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Pages of a memfd count as memory of the container."""
    (container,) = pod["containers"]
    processes_bytes = (settings.workers + 2) * MEMORY_PER_PROCESS_BYTES
    needed = settings.storage.ram_bytes + settings.limits.unsent_bytes + processes_bytes
    assert needed <= size_of(container["resources"]["requests"]["memory"])
    assert needed < size_of(container["resources"]["limits"]["memory"])
    assert settings.workers + 1 <= int(container["resources"]["requests"]["cpu"])
    (claim,) = manifests["StatefulSet", "live-origin"]["spec"]["volumeClaimTemplates"]
    assert settings.storage.ssd_bytes < size_of(claim["spec"]["resources"]["requests"]["storage"]) * 0.9
