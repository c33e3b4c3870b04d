"""The program itself as the judge of settings: `quittance config`, run as a container would run it."""

import json
import subprocess
import sys


class Refused(Exception):
    """The program does not take these settings."""


def settings(program, environment):
    """The settings in force with nothing but these variables, and what the program doubts of them."""
    run = subprocess.run([program, "config"], env=environment, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise Refused(run.stderr.strip())
    return json.loads(run.stdout), run.stderr.strip()


def report(what, problems):
    """Ends the check: with what is wrong, or with what was looked at."""
    for problem in problems:
        print(f"{what}: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{what}: well")
