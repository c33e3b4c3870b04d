"""What the schema of compose files cannot say about compose.yaml. usage: compose.py PROGRAM"""

import copy
import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from program import Refused, report, settings

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = {"ingress", "results", "risk", "settlement", "notifier", "reconciler"}
# They end when they have done their work, so nobody asks whether they live.
ONE_SHOT = {"migrate", "tool", "contracts"}
# Who may reach what is outside: nodes, sellers, receivers of alerts.
GOES_OUT = {"ingress", "risk", "settlement", "notifier", "reconciler", "tool", "alertmanager"}


def interpolated(text, variables):
    """`${NAME:-default}` as compose reads it."""
    def value(match):
        name, default = match.group(1), match.group(2)
        return variables.get(name) or (default or "")
    return re.sub(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", value, str(text))


def image_environment():
    """What the Dockerfile sets for every container."""
    text = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")
    final = text[text.rindex("\nFROM "):]
    return dict(re.findall(r"(QUITTANCE_[A-Z_]+)=(\S+)", final))


def shape_problems(document):
    """Services that would not be kept alive, watched or bounded, or that reach too far."""
    for name, service in document["services"].items():
        if service.get("restart") is None or (service["restart"] == "no" and name != "tool"):
            yield f"{name} has no restart policy"
        health = service.get("healthcheck", {})
        if name in ONE_SHOT:
            if health != {"disable": True}:
                yield f"{name} ends by itself, and has a health check"
        elif "test" not in health:
            yield f"{name} has no health check"
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if not {"cpus", "memory"} <= limits.keys():
            yield f"{name} has no limits"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name} may gain privileges"
        image = interpolated(service["image"], {})
        if image != "quittance:local" and not re.search(r":v?\d+\.\d+", image):
            yield f"{name} runs {image}, which is no version"
        for port in service.get("ports", []):
            if not interpolated(port, {}).startswith("127.0.0.1:"):
                yield f"{name} publishes {port} to everybody"
        networks = set(service.get("networks", []))
        if ("out" in networks) != (name in GOES_OUT):
            yield f"{name} is in {sorted(networks)}"
        if "signer-keys" in service.get("secrets", []) and name != "settlement":
            yield f"{name} is given the signing keys"
    if missing := ROLES - document["services"].keys():
        yield f"there is no service for {sorted(missing)}"
    if not document["networks"]["back"].get("internal"):
        yield "the network of the stores has a way out"


def mount_problems(document):
    """Files that are mounted and not there."""
    named = [config["file"] for config in document["configs"].values()]
    for service in document["services"].values():
        named += [volume.split(":")[0] for volume in service.get("volumes", [])]
    for path in named:
        path = interpolated(path, {})
        if path.startswith("./") and not (CHECKOUT / path).exists():
            yield f"{path} is mounted and not there"


def secret_problems(document, folder):
    """Secrets that compose/docker/secrets does not make, and such that nobody could read, or everybody."""
    names = {Path(secret["file"]).name for secret in document["secrets"].values()}
    made = {path.name for path in folder.iterdir()}
    if names != made:
        yield f"compose.yaml has the secrets {sorted(names)}, compose/docker/secrets makes {sorted(made)}"
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        yield "others can enter the folder of secrets"
    for path in folder.iterdir():
        if stat.S_IMODE(path.stat().st_mode) != 0o444 or not path.read_text().strip():
            yield f"the secret {path.name} cannot be read by containers, or is empty"


def maker_problems(make, place):
    """What compose/docker/secrets should not do: make half of them, or lose what it made."""
    def run(folder, *arguments):
        environment = {**os.environ, "QUITTANCE_SECRETS_DIR": str(place / folder)}
        return subprocess.run([make, *arguments], env=environment, capture_output=True, text=True).returncode
    nodes, keys, nothing = place / "nodes", place / "keys", place / "nothing"
    nodes.write_text("https://one.example\nhttps://two.example\n")
    keys.write_text("eip155:84532=0x1\n")
    nothing.write_text("")
    refused = {
        "no arguments": [], "an unknown one": ["--prod"], "nodes without keys": ["--rpc-urls", str(nodes)],
        "an empty file": ["--rpc-urls", str(nodes), "--signer-keys", str(nothing)],
        "two kinds of nodes": ["--dev", "--rpc-urls", str(nodes)],
    }
    for name, arguments in refused.items():
        if run("refused", *arguments) == 0:
            yield f"compose/docker/secrets takes {name}"
    if run("own", "--rpc-urls", str(nodes), "--signer-keys", str(keys)) != 0:
        yield "compose/docker/secrets does not take nodes and keys"
        return
    password = (place / "own/postgres-password").read_text()
    if run("own", "--alerts-slack-url", str(nodes)) != 0 or (place / "own/postgres-password").read_text() != password:
        yield "compose/docker/secrets does not keep what is there"
    if (place / "own/rpc-urls-84532").read_text() != nodes.read_text():
        yield "compose/docker/secrets changes the nodes it is given"


def role_problems(document, folder, program):
    """Roles whose settings the program itself does not take, or doubts."""
    config = CHECKOUT / interpolated(document["configs"]["quittance"]["file"], {})
    for name, service in document["services"].items():
        if "build" not in service:
            continue
        given = set()
        environment = image_environment()
        for key, value in service["environment"].items():
            value = interpolated(value, {})
            if value.startswith("/run/secrets/"):
                given.add(Path(value).name)
                value = str(folder / Path(value).name)
            environment[key] = value
        environment["QUITTANCE_CONFIG"] = str(config)
        if given != set(service["secrets"]):
            yield f"{name} is given {sorted(service['secrets'])} and told of {sorted(given)}"
        try:
            shown, doubts = settings(program, environment)
        except Refused as refusal:
            yield f"{name}: {refusal}"
            continue
        if doubts:
            yield f"{name}: {doubts}"
        if bool(shown["signers"]) != (name == "settlement"):
            yield f"{name} has the signers {shown['signers']}"
        grace = int(service["stop_grace_period"].removesuffix("s"))
        if grace <= shown["shutdown"]["drain_secs"]:
            yield f"{name} is killed before it has finished what is under way"


def scrape_problems(document):
    """Targets of Prometheus that are no services, and roles that are not scraped."""
    prometheus = yaml.safe_load((CHECKOUT / "ops/prometheus/prometheus.yaml").read_text())
    jobs = set()
    for scrape in prometheus["scrape_configs"]:
        jobs.add(scrape["job_name"])
        hosts = [name for found in scrape.get("dns_sd_configs", []) for name in found["names"]]
        hosts += [target.split(":")[0] for fixed in scrape.get("static_configs", []) for target in fixed["targets"]]
        for host in hosts:
            if host != "localhost" and host not in document["services"]:
                yield f"Prometheus scrapes {host}, which is no service"
    if missing := {f"quittance-{role}" for role in ROLES} - jobs:
        yield f"Prometheus does not scrape {sorted(missing)}"


def blind_spots(document):
    """Faults made on purpose which the checks above do not see."""
    def spoilt(change):
        other = copy.deepcopy(document)
        change(other["services"])
        return other
    faults = {
        "no restart policy": lambda services: services["ingress"].pop("restart"),
        "no health check": lambda services: services["loki"].pop("healthcheck"),
        "no limits": lambda services: services["redis"].pop("deploy"),
        "keys for all": lambda services: services["risk"]["secrets"].append("signer-keys"),
        "a way out": lambda services: services["results"]["networks"].append("out"),
        "an open port": lambda services: services["grafana"].update(ports=["3000:3000"]),
        "no version": lambda services: services["loki"].update(image="grafana/loki:latest"),
    }
    for name, change in faults.items():
        if not list(shape_problems(spoilt(change))):
            yield f"a fault is not seen: {name}"


def main():
    program = sys.argv[1]
    document = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "secrets"
        make = [str(CHECKOUT / "compose/docker/secrets"), "--dev"]
        subprocess.run(make, env={**os.environ, "QUITTANCE_SECRETS_DIR": str(folder)}, check=True, stderr=subprocess.DEVNULL)
        report("compose.yaml", [
            *shape_problems(document),
            *mount_problems(document),
            *secret_problems(document, folder),
            *maker_problems(make[0], Path(place)),
            *role_problems(document, folder, program),
            *scrape_problems(document),
            *blind_spots(document),
        ])


main()
