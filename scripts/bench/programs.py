"""Building and running the measuring programs, all in the release profile."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class ProgramError(Exception):
    """A program that cannot be built, or failed."""


def target():
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def program(name):
    path = target() / "release" / name
    if not path.is_file():
        raise ProgramError(f"{path} is missing: run `make bench`, or leave SKIP_BUILD away")
    return path


def build():
    """Examples and programs apart: together, development features would be compiled into the programs. Always the whole
    workspace, so that dependencies are not built once more with other features.
    """
    names = ["--example", "extract_bench", "--example", "embedding_speed", "--example", "chunking"]
    for what in (names, ["--bins"]):
        command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--workspace", *what]
        print(f"==> {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            raise ProgramError("the build failed")


def environment():
    """Nothing of this process's settings but where the assets are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTRION_")}
    if assets := os.environ.get("VECTRION_ASSETS_DIR"):
        kept["VECTRION_ASSETS_DIR"] = assets
    return kept


def run(name, *arguments, timeout=900):
    """Runs a program to its end; its standard output as text."""
    command = [str(program(name)), *map(str, arguments)]
    try:
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{name} did not end within {timeout} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ProgramError(f"{name} failed with status {done.returncode}: {said}")
    return done.stdout


def measure(name, *arguments, timeout=900):
    """Runs a measuring program; the JSON of its last line."""
    lines = run(name, *arguments, timeout=timeout).strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise ProgramError(f"{name} printed no JSON as its last line") from error
