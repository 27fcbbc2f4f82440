"""Try the installed wheel where the checkout is out of reach.

`.ci/run` copies this file into an empty folder and runs it there with the Python of a fresh
environment: `python -I smoke.py VERSION`. It ends with status 1 at the first thing that is wrong.
"""

import subprocess
import sys
from importlib import import_module, metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

PACKAGES = (
    "lexorder.engine",
    "lexorder.engine.expert",
    "lexorder.optimizers",
    "lexorder.api",
    "lexorder.rules",
)


def demand(holds: bool, otherwise: str) -> None:
    """End with status 1 and the message `otherwise`, unless it `holds`."""
    if not holds:
        sys.exit(f"smoke: {otherwise}")


def run(*arguments: str) -> str:
    """What `lexorder ARGUMENTS` prints; ends the test if the command fails."""
    command = Path(sys.prefix) / "bin" / "lexorder"
    done = subprocess.run([str(command), *arguments], capture_output=True, text=True, check=False, timeout=300)
    shown = f"`lexorder {' '.join(arguments)}`"
    demand(done.returncode == 0, f"{shown} ended with {done.returncode}\n{done.stderr[-2000:]}")
    demand("Traceback" not in done.stderr, f"{shown} printed a traceback")
    return done.stdout


def files(folder: Traversable) -> set[str]:
    """Names of all files below `folder`."""
    below = (files(item) if item.is_dir() else {item.name} for item in folder.iterdir())
    return set().union(*below)


def main(version: str) -> None:
    """Check imports, packaged data and the command against the expected `version`."""
    here = Path(sys.prefix).resolve()
    for name in PACKAGES:
        origin = import_module(name).__file__
        demand(origin is not None, f"{name} has no file")
        place = Path(str(origin)).resolve()
        demand(here in place.parents, f"{name} comes from outside this environment")
    demand("grammar.lark" in files(resources.files("lexorder.engine")), "the grammar is missing")
    demand("vocabulary.yaml" in files(resources.files("lexorder.rules")), "the rules are missing")
    demand(metadata.version("lexorder") == version, "the wheel has another version")
    demand(version in run("--version"), "`lexorder --version` names another version")
    with resources.as_file(resources.files("lexorder.rules")) as rules:
        sys.stdout.write(run("rules", "lint", str(rules)))
    sys.stdout.write(f"smoke: lexorder {version} works from its wheel\n")


if __name__ == "__main__":
    main(sys.argv[1])
