#!/usr/bin/env python3
"""`make bench-peers`: Vectrion, Haystack, LangChain, and FastAPI with Celery, RabbitMQ and PostgreSQL: on the same PDFs, the
same model and the same machine, one after the other in one run.

    python3 scripts/bench/peers.py [--only PEER,…] [--documents N] [--skip-build] [DIRECTORY…]

Each peer lives in a virtual environment of its own in the cache directory; that of Haystack, with PyTorch, takes about 6 GB
there. A peer that cannot be set up, or fails, is reported, and the others go on.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"bench: Python 3.11 or later is needed, this is {sys.version.split()[0]}")

import argparse
import json
import os
import signal
import subprocess
import tempfile
import traceback
from pathlib import Path

import durable
import programs
from data import Data, write_questions
from environments import environment, model_directory
from ingest import ingest_all
from memory import PeakMemory
from programs import ProgramError, measure
from report import Report
from server import Server

HERE = Path(__file__).resolve().parent
PEERS = ("haystack", "langchain", "celery")
TIMEOUT_S = 1200


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
            except BaseException:
                process.kill()
                process.wait()
                raise
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
    return ours


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
    parser = argparse.ArgumentParser(description="Measures Vectrion and its peers side by side.")
    parser.add_argument("directories", nargs="*", metavar="DIRECTORY", help="data; default: the project's own examples")
    parser.add_argument("--only", default="", help=f"peers, with commas between: {', '.join(PEERS)}")
    parser.add_argument("--documents", type=int, default=0, help="small documents; default: a few hundred")
    parser.add_argument("--skip-build", action="store_true", help="measure what was built before")
    arguments = parser.parse_args()
    only = [name.strip() for name in arguments.only.split(",") if name.strip()] or list(PEERS)
    if unknown := [name for name in only if name not in PEERS]:
        parser.error(f"there is no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data = Data(arguments.directories)
    report = Report("`make bench-peers`", programs.target() / "bench")
    report.say("data", data.describe())
    status = 0

    def tried(name, work):
        """Its result, or None if it cannot be: that is reported, and the others go on."""
        nonlocal status
        try:
            return work()
        except Exception as error:
            if not isinstance(error, ProgramError):
                traceback.print_exc()
            report.say(name, f"not measured: {error}")
            status = 1
            return None

    try:
        if not arguments.skip_build:
            programs.build()
        # Haystack's has the model that the others share.
        pythons = {"haystack": tried("haystack", lambda: environment("haystack"))}
        for name in PEERS[1:]:
            if name in only:
                pythons[name] = tried(name, lambda name=name: environment(name, models=pythons["haystack"]))
        ours = None
        if "haystack" in only:
            ours = tried("local model", lambda: compare(report, data, pythons["haystack"]))
            report.save("peers")
        if {"langchain", "celery"} & set(only):
            compared = durable.Comparison(report, data, pythons, ours, arguments.documents, tried)
            tried("durable", compared.run)
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
