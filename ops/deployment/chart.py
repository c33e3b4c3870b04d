"""Renders the chart with each values file of helm/quittance/ci and holds it against everything known of it.

usage: chart.py HELM PROGRAM CRDS-COMMAND... [--write]
--write takes the renders as they are now for the golden ones (helm/golden)."""

import copy
import difflib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from program import Refused, report, settings

CHECKOUT = Path(__file__).resolve().parents[2]
CHART = CHECKOUT / "helm/quittance"
GOLDEN = CHECKOUT / "helm/golden"
KUBERNETES = ["1.30", "1.33"]
# Kinds whose schemas Kubernetes does not have; crds.mjs knows them.
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
DUMMIES = {
    "DATABASE_URL": "postgres://app:pw@db/quittance",
    "REDIS_URL": "redis://cache:6379",
    "RISK_INTERNAL_TOKEN": "token",
}

# What must be refused, and a word of why.
REFUSED = [
    (["--set", "secrets.database.name="], "secrets.database.name is needed"),
    (["--set", "secrets.redis.name="], "secrets.redis.name is needed"),
    (["--set-json", 'networks=[{"chainId":1,"rpcUrls":{"secretName":"nodes","key":"urls"}}]'], "has no keys to settle with"),
    (["--set", "networks[0].rpcUrls=null"], "rpcUrls"),
    (["--set", "networks[0].minReplicas=0"], "minReplicas"),
    (["--set", "keda.enabled=true"], "keda.prometheus.serverAddress is needed"),
    (["--set", "expose.ingress.enabled=true"], "Host is needed"),
    (["--set", "ingress.replicas=0"], "replicas"),
    (["--set", "image.digest=latest"], "digest"),
    (["--set", "ingres.replicas=3"], "ingres"),
    (["--set", "ingress.resources.limits.gpu=1"], "gpu"),
    (["--set", "secrets.database.value=postgres://secret"], "value"),
]


def helm(program, *arguments):
    # Nothing of the caller's own helm settings, plugins or cluster.
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, "HELM_CACHE_HOME": home}
        run = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    # It tells of each symbolic link, of which the chart has some.
    run.stderr = "\n".join(line for line in run.stderr.splitlines() if not line.startswith("level=INFO"))
    return run


def rendered(program, values, *more):
    return helm(program, "template", "quittance", str(CHART), "--namespace", "pay", "--kube-version", "1.33.0",
                "--values", str(values), *more)


def golden_problems(name, text, write):
    # Alerts and dashboards are not repeated: they are files of their own, and compared below.
    text = "\n---\n".join(part for part in text.split("\n---\n") if not is_copied(yaml.safe_load(part))) + "\n"
    path = GOLDEN / f"{name}.yaml"
    if write:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    known = path.read_text() if path.exists() else ""
    if known != text:
        difference = list(difflib.unified_diff(known.splitlines(), text.splitlines(), "golden", "rendered", lineterm="", n=1))
        yield f"{name} is not rendered as it was; look at the difference, then make golden:\n" + "\n".join(difference[:40])


def is_copied(thing):
    return bool(thing) and thing["metadata"]["name"].endswith(("-rules", "-dashboard"))


def copy_problems(name, objects, values):
    """Alerts and dashboards of ops that the chart would not bring, or not as they are."""
    monitoring = values.get("monitoring", {})
    brought = [thing for thing in objects if is_copied(thing)]
    if monitoring.get("rules", {}).get("kind", "none") != "none":
        for path in sorted((CHECKOUT / "ops/prometheus/rules").glob("*.yaml")):
            wanted = yaml.safe_load(path.read_text())
            if not any(thing.get("spec") == wanted or yaml.safe_load(thing.get("data", {}).get(path.name, "")) == wanted for thing in brought):
                yield f"{name}: the alerts of {path.name} are not brought"
    if monitoring.get("dashboards", {}).get("enabled"):
        for path in sorted((CHECKOUT / "ops/grafana/dashboards").glob("*.json")):
            if not any(thing.get("data", {}).get(path.name, "").strip() == path.read_text().strip() for thing in brought):
                yield f"{name}: the dashboard {path.name} is not brought"


def schema_problems(name, objects):
    for thing in objects:
        if thing["apiVersion"].startswith(CUSTOM):
            continue
        what = f"{name}: {thing['kind']} {thing['metadata']['name']}"
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{what}: Kubernetes {version}: {str(error)[:300]}"


def pods(objects):
    """Everything that runs: its name, and its pod's specification."""
    for thing in objects:
        if thing["kind"] in ("Deployment", "Job"):
            yield thing["metadata"]["name"], thing["spec"]["template"]["spec"]
        elif thing["kind"] == "Pod":
            yield thing["metadata"]["name"], thing["spec"]


def hardening_problems(name, objects):
    for pod, spec in pods(objects):
        what = f"{name}: {pod}"
        security = spec["securityContext"]
        if not security["runAsNonRoot"] or security["seccompProfile"]["type"] != "RuntimeDefault":
            yield f"{what} may run as root, or without seccomp"
        if spec["automountServiceAccountToken"] is not False:
            yield f"{what} is given a token of Kubernetes"
        for container in spec["containers"]:
            own = container["securityContext"]
            if own["allowPrivilegeEscalation"] or not own["readOnlyRootFilesystem"] or own["capabilities"] != {"drop": ["ALL"]}:
                yield f"{what} may do more than it needs"
            if not {"cpu", "memory"} <= container["resources"]["limits"].keys():
                yield f"{what} has no limits"
            if container["image"].endswith(":latest"):
                yield f"{what} runs no version"


def deployment_problems(name, objects, program):
    settings_of = next(thing["data"] for thing in objects if thing["kind"] == "ConfigMap" and "ingress.toml" in thing["data"])
    scaled = {thing["spec"]["scaleTargetRef"]["name"] for thing in objects if thing["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")}
    budgets = {thing["metadata"]["name"] for thing in objects if thing["kind"] == "PodDisruptionBudget"}
    for thing in objects:
        if thing["kind"] == "ScaledObject" and thing["spec"]["minReplicaCount"] < 1:
            yield f"{name}: {thing['metadata']['name']} may be scaled to nothing"
        if thing["kind"] != "Deployment":
            continue
        pool, spec = thing["metadata"]["name"], thing["spec"]["template"]["spec"]
        what = f"{name}: {pool}"
        if (pool in scaled) == ("replicas" in thing["spec"]):
            yield f"{what} is counted by two, or by nobody"
        if pool not in budgets:
            yield f"{what} has no disruption budget"
        (container,) = spec["containers"]
        if container["readinessProbe"]["httpGet"]["path"] != "/readyz" or container["livenessProbe"]["httpGet"]["path"] != "/healthz":
            yield f"{what} is asked the wrong thing for its health"
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        if ("signers" in volumes) and "-settlement-" not in pool:
            yield f"{what} is given signing keys"
        with tempfile.TemporaryDirectory() as place:
            environment = pod_environment(container, volumes, settings_of, Path(place))
            try:
                shown, doubts = settings(program, environment)
            except Refused as refusal:
                yield f"{what}: {refusal}"
                continue
        if doubts:
            yield f"{what}: {doubts}"
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if spec["terminationGracePeriodSeconds"] <= shown["shutdown"]["drain_secs"] + pause:
            yield f"{what} is killed before it has finished what is under way"
        if "-settlement-" in pool:
            (network,) = shown["networks"]
            if not pool.endswith(f"-{network['chain_id']}") or not shown["signers"]:
                yield f"{what} settles on {network['chain_id']} with {shown['signers']}"


def pod_environment(container, volumes, settings_of, place):
    """What the container's variables come to, with stand-ins for what Secrets hold."""
    (item,) = volumes["settings"]["configMap"]["items"]
    (place / "quittance.toml").write_text(settings_of[item["key"]])
    environment = {}
    for variable in container["env"]:
        key = variable["name"]
        if "value" in variable:
            environment[key] = variable["value"]
        elif key.endswith("__RPC_URLS"):
            environment[key] = "https://one.example/key,https://two.example/key"
        else:
            environment[key] = DUMMIES[key]
    environment["QUITTANCE_CONFIG"] = str(place / "quittance.toml")
    if "QUITTANCE_SIGNER_KEYS_FILE" in environment:
        chain = next(key.split("__")[1] for key in environment if key.endswith("__RPC_URLS"))
        (place / "keys").write_text(f"eip155:{chain}=0x{'1':0>64}")
        environment["QUITTANCE_SIGNER_KEYS_FILE"] = str(place / "keys")
    return environment


def default_problems(name, objects):
    """The numbers that were asked for, where a values file does not say otherwise."""
    pod = next(thing for thing in objects if thing["kind"] == "Deployment" and thing["metadata"]["name"] == "quittance-ingress")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    if container["resources"] != {"requests": {"memory": "256Mi", "cpu": "250m"}, "limits": {"memory": "512Mi", "cpu": "500m"}}:
        yield f"{name}: ingress has the resources {container['resources']}"
    service = next(thing for thing in objects if thing["kind"] == "Service" and thing["metadata"]["name"] == "quittance-ingress")
    if service["spec"]["ports"][0]["port"] != 80:
        yield f"{name}: the Service of ingress is at {service['spec']['ports'][0]}"


def network_problems(name, objects):
    """Who may reach the internet: the notifier for webhooks, and who asks nodes."""
    allowed = {"notifier": True, "ingress": True, "risk": True, "settlement": True, "reconciler": True, "results": False, "migrate": False}
    policies = [thing for thing in objects if thing["kind"] == "NetworkPolicy"]
    for component, may in allowed.items():
        rules = [rule for policy in policies if selects(policy, component) for rule in policy["spec"].get("egress", [])]
        ranges = {peer["ipBlock"]["cidr"] for rule in rules for peer in rule.get("to", []) if "ipBlock" in peer}
        if ("0.0.0.0/0" in ranges) != may:
            yield f"{name}: {component} may go to {sorted(ranges)}"
    default = next(policy for policy in policies if policy["metadata"]["name"].endswith("-default"))
    if default["spec"]["policyTypes"] != ["Ingress", "Egress"] or "ingress" in default["spec"]:
        yield f"{name}: what no policy allows is not denied"


def selects(policy, component):
    selector = policy["spec"]["podSelector"]
    if selector.get("matchLabels", {}).get("app.kubernetes.io/component", component) != component:
        return False
    for expression in selector.get("matchExpressions", []):
        if (component in expression["values"]) != (expression["operator"] == "In"):
            return False
    return True


def strictness_problems():
    """Levels of values.yaml at which a key that nobody knows would be taken."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    networks = yaml.safe_load((CHART / "ci/networks-values.yaml").read_text())["networks"]
    values["networks"] = networks
    jsonschema.validate(values, schema)
    free = ("annotations", "podAnnotations", "nodeSelector", "labels")

    def levels(value, path):
        if isinstance(value, dict) and not (path and path[-1] in free):
            yield path
            for key, member in value.items():
                yield from levels(member, [*path, key])
        elif isinstance(value, list):
            for index, member in enumerate(value):
                yield from levels(member, [*path, index])

    for path in levels(values, []):
        spoilt = copy.deepcopy(values)
        place = spoilt
        for step in path:
            place = place[step]
        place["unknownKey"] = 1
        try:
            jsonschema.validate(spoilt, schema)
            yield f"an unknown key is taken at {path}"
        except jsonschema.ValidationError:
            pass


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    write = "--write" in sys.argv
    program, binary, crds = arguments[0], arguments[1], arguments[2:]
    problems = list(strictness_problems())
    custom = []
    for values in sorted((CHART / "ci").glob("*-values.yaml")):
        name = values.name.removesuffix("-values.yaml")
        lint = helm(program, "lint", "--strict", str(CHART), "--values", str(values))
        if lint.returncode != 0:
            problems.append(f"{name}: helm lint: {lint.stdout}{lint.stderr}")
        render = rendered(program, values)
        if render.returncode != 0:
            problems.append(f"{name}: helm template: {render.stderr}")
            continue
        objects = [thing for thing in yaml.safe_load_all(render.stdout) if thing]
        custom += [thing for thing in objects if thing["apiVersion"].startswith(CUSTOM)]
        problems += golden_problems(name, render.stdout, write)
        problems += copy_problems(name, objects, yaml.safe_load(values.read_text()))
        problems += schema_problems(name, objects)
        problems += hardening_problems(name, objects)
        problems += deployment_problems(name, objects, binary)
        problems += default_problems(name, objects)
        problems += network_problems(name, objects)
    for more, why in REFUSED:
        refusal = rendered(program, CHART / "ci/small-values.yaml", *more)
        if refusal.returncode == 0 or why not in refusal.stderr:
            problems.append(f"{' '.join(more)} is not refused for {why!r}: {refusal.stderr[:300]}")
    checked = subprocess.run(crds, input=json.dumps(custom), capture_output=True, text=True, timeout=300)
    if checked.returncode != 0:
        problems.append(f"custom resources: {checked.stdout}{checked.stderr}")
    report("helm/quittance", problems)


main()
