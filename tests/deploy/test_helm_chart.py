"""The Helm chart: what it sets exists, and what it renders fits together.

The first tests read the chart as text. The others render it by `helm`, from the PATH
or named by `SAYIIR_TEST_HELM`; without it they are skipped, and say how to get it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sayiir_es.settings import Settings
from tests.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CHART = ROOT / "deploy" / "helm" / "sayiir-es"
TEMPLATES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((CHART / "templates").iterdir())
}
TEXT = "\n".join(TEMPLATES.values())
VERBS = (
    ROOT / "sayiir_es" / "cli" / "worker.py",
    *(ROOT / "sayiir_es/cli").glob("*.py"),
)

LEAST: dict[str, Any] = {
    "kafka": {"bootstrapServers": "kafka:9092"},
    "tokens": {"secret": "tokens"},
    "worker": {"modules": ["shop.orders"]},
}
FULL: dict[str, Any] = {
    "kafka": {"bootstrapServers": "a:1,b:2", "app": "shop", "configSecret": "client"},
    "tokens": {"secret": "tokens"},
    "worker": {
        "modules": ["shop.orders", "shop.mails"],
        "tags": "gpu,cpu",
        "drainSeconds": 60,
        "handoverSeconds": 90,
        "env": [{"name": "OTEL_SERVICE_NAME", "value": "shop"}],
    },
    "serve": {"ingress": {"enabled": True, "host": "flows.example.com"}},
    "serviceMonitor": {"enabled": True},
}
WITHOUT: dict[str, Any] = {
    **LEAST,
    "serve": {"enabled": False},
    "serviceAccount": {"create": False},
    "worker": {**LEAST["worker"], "podDisruptionBudget": {"enabled": False}},
}


def test_every_variable_of_the_chart_is_a_setting() -> None:
    names = set(re.findall(r"SAYIIR_[A-Z_]+", TEXT))
    assert names
    assert names <= {f"SAYIIR_{name.upper()}" for name in Settings.model_fields}


def test_every_option_of_the_chart_exists() -> None:
    options = set(re.findall(r"^\s+- (--[a-z-]+)=", TEXT, re.MULTILINE))
    assert {"--worker-id", "--http", "--host"} <= options
    known = "\n".join(path.read_text(encoding="utf-8") for path in VERBS)
    assert {option for option in options if f'"{option}"' not in known} == set()


def test_the_schema_knows_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    properties: dict[str, Any] = schema["properties"]
    assert set(properties) - {"global"} == set(values)
    for name, section in values.items():
        if properties[name].get("additionalProperties") is False:
            assert set(section) == set(properties[name]["properties"]), name


@pytest.fixture(scope="module")
def helm() -> str:
    """The program."""
    program = os.environ.get("SAYIIR_TEST_HELM") or shutil.which("helm")
    if program is None:
        pytest.skip(
            "NO HELM: the chart is not rendered; go install "
            "helm.sh/helm/v3/cmd/helm@v3.19.5, or set SAYIIR_TEST_HELM"
        )
    return program


def run_helm(
    helm: str, verb: str, values: dict[str, Any], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Lint or render the chart."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    name = ["shop"] if verb == "template" else ["--strict"]
    return subprocess.run(  # noqa: S603 (a program of the tests)
        [helm, verb, *name, str(CHART), "-f", str(file), "--kube-version", "1.31.0"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def rendered(helm: str, values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The objects of a release."""
    result = run_helm(helm, "template", values, folder)
    assert result.returncode == 0, result.stderr
    return [item for item in yaml.safe_load_all(result.stdout) if item]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Those of a kind."""
    return [item for item in objects if item["kind"] == kind]


@pytest.mark.parametrize("values", [LEAST, FULL, WITHOUT])
def test_it_lints_and_its_parts_fit_together(
    helm: str, values: dict[str, Any], tmp_path: Path
) -> None:
    linted = run_helm(helm, "lint", values, tmp_path)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    objects = rendered(helm, values, tmp_path)
    workloads = of_kind(objects, "StatefulSet") + of_kind(objects, "Deployment")
    assert len(workloads) == (1 if values is WITHOUT else 2)
    for workload in workloads:
        spec, pod = workload["spec"], workload["spec"]["template"]
        labels = pod["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        (container,) = pod["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == volumes | claims
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container["resources"]["limits"]["memory"]
        # Kubernetes replaces what was defined above a line only.
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
    for service in of_kind(objects, "Service"):
        selected = service["spec"]["selector"].items()
        pods = [workload["spec"]["template"] for workload in workloads]
        assert sum(selected <= pod["metadata"]["labels"].items() for pod in pods) == 1
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert len(budgets) == (0 if values is WITHOUT else 1)


def test_a_worker_has_time_for_its_drain_and_its_hand_over(
    helm: str, tmp_path: Path
) -> None:
    objects = rendered(helm, FULL, tmp_path)
    (workers,) = of_kind(objects, "StatefulSet")
    pod = workers["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 60 + 90 + 15
    (container,) = pod["containers"]
    assert container["args"][:4] == ["worker", "run", "shop.orders", "shop.mails"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["SAYIIR_BACKEND"] == "kafka://a:1,b:2/shop"
    assert env["SAYIIR_DRAIN"] == "60"
    assert "SAYIIR_API_TOKEN_FILE" not in env  # a worker's token may look, not act
    settings = {
        key.removeprefix("SAYIIR_").lower(): value
        for key, value in env.items()
        if key.startswith("SAYIIR_")
    }
    assert Settings.model_validate(settings).handover == 90


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("kafka", "bootstrapServers", ""),
        ("tokens", "secret", ""),
        ("worker", "modules", []),
        ("worker", "replica", 3),
        ("worker", "drainSeconds", "10s"),
    ],
)
def test_values_that_cannot_work_are_refused(
    helm: str, section: str, key: str, value: object, tmp_path: Path
) -> None:
    values = {**LEAST, section: {**LEAST[section], key: value}}
    result = run_helm(helm, "template", values, tmp_path)
    assert result.returncode != 0
    assert section in result.stderr
