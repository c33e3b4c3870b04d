"""Everything the binary is compiled from gets through .dockerignore, and nothing that a checkout keeps for itself."""

import fnmatch
import re
import subprocess
from pathlib import Path

from program import report

CHECKOUT = Path(__file__).resolve().parents[2]
# Examples of what must stay out.
SECRET = ["compose/docker/.secrets/signer-keys", ".local/state/signer-keys", ".git/config", ".env", "target/debug/quittance",
          "services/cli/node_modules/x/index.js"]


def is_sent(path, patterns):
    """Whether Docker sends this path: the last pattern that matches it, or a folder of it, decides."""
    sent = True
    for pattern in patterns:
        wanted, bare = pattern.startswith("!"), pattern.removeprefix("!")
        parts = path.split("/")
        prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if bare.startswith("**/"):
            matches = any(fnmatch.fnmatchcase(part, bare[3:]) for part in parts)
        else:
            # A star stops at a slash.
            matches = any(
                prefix.count("/") == bare.count("/") and fnmatch.fnmatchcase(prefix, bare) for prefix in prefixes
            )
        if matches:
            sent = wanted
    return sent


def included(path):
    """Files that this source takes in when it is compiled without tests."""
    text = path.read_text().split("#[cfg(test)]")[0]
    for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', text):
        yield (path.parent / name).resolve()


def main():
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    tracked = subprocess.run(["git", "-C", str(CHECKOUT), "ls-files"], capture_output=True, text=True, check=True)
    names = tracked.stdout.splitlines()
    problems = [f"{name} would be sent" for name in SECRET if is_sent(name, patterns)]
    crates = {name.rsplit("/", 1)[0] for name in names if name.endswith("/Cargo.toml")}
    needed = {"Cargo.toml", "Cargo.lock"}
    for name in names:
        # Tests as well: a manifest that names one is not read without it.
        in_crate = any(name.startswith(f"{crate}/") for crate in crates)
        if in_crate or name.startswith((".sqlx/", "migrations/", ".cargo/")):
            needed.add(name)
        if "/src/" in name and name.endswith(".rs") and not name.startswith("shared/testkit/"):
            needed |= {str(file.relative_to(CHECKOUT)) for file in included(CHECKOUT / name)}
    problems += [f"{name} is needed and not sent" for name in sorted(needed) if not is_sent(name, patterns)]
    report(".dockerignore", problems)


main()
