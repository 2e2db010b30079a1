"""Goals 5 and 6: the whole durable path with a stub embedder, beside LangChain and the Celery stack, and what these do with the
real model. Vectrion runs in its distributed profile, one server and one worker, on the same PostgreSQL and RabbitMQ.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

from celery_stack import QUIET, CeleryStack
from data import write_questions
from distributed import SERVICES, SMALL_BYTES, SMALL_DOCUMENTS, UPLOADS, ingest_counted, stub_settings, warm_up, write_texts
from environments import model_directory, postgres_with_vectors
from ingest import errors
from programs import ProgramError, measure
from server import stub_embedder
from services import Installation, Services

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 1200
CLIENTS = 8
LOAD_S = 8
# Each asked once, so that nothing which remembers questions is measured.
QUESTIONS = 50_000


class Comparison:
    """One run. `tried` does what may fail; `ours` are the figures of the local model, if they were taken."""

    def __init__(self, report, data, pythons, ours, documents, tried):
        self.report = report
        self.data = data
        self.langchain = pythons.get("langchain")
        self.celery = pythons.get("celery")
        self.models = pythons.get("haystack")
        self.ours = ours
        self.documents = documents or SMALL_DOCUMENTS
        self.tried = tried

    def run(self):
        with contextlib.ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vectrion-bench-")))
            self.prepare()
            # Without services LangChain alone is left.
            self.services = self.tried("services", lambda: self.start_services(stack))
            if not self.services:
                self.celery = None
            with stub_embedder(with_process=True) as (self.url, self.stub):
                vectrion = celery = langchain = None
                if self.services:
                    print("==> Vectrion, distributed, stub embedder", flush=True)
                    vectrion = self.tried("Vectrion, distributed", self.vectrion)
                if self.celery:
                    print("==> Celery stack, stub embedder", flush=True)
                    celery = self.tried("Celery stack", self.celery_with_stub)
                if self.langchain:
                    print("==> LangChain, stub embedder", flush=True)
                    langchain = self.tried("LangChain", self.langchain_with_stub)
            self.show_ingest(vectrion, celery, langchain)
            self.show_queries(vectrion, celery)
            self.real_model()

    def start_services(self, stack):
        """The same for Vectrion and the Celery stack: that one's PostgreSQL, which has pgvector, else Debian's."""
        postgres = None
        if self.celery:
            lasting = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vectrion-bench-", dir=lasting)))
            place.chmod(0o755)
            postgres = postgres_with_vectors(self.celery, place)
        services = stack.enter_context(Services(*SERVICES, postgres=postgres))
        said = f"PostgreSQL {services.version()} with fsync, RabbitMQ with confirms"
        self.report.say("durable", f"{said}; Vectrion: S3 (versitygw), Redis, and {services.vectors()} too")
        return services

    def prepare(self):
        self.pdfs, self.small = self.directory / "pdfs", self.directory / "small"
        if not self.data.flat_copy(self.pdfs):
            raise ProgramError("no PDF in the data")
        self.texts = self.data.synthetic_documents(SMALL_BYTES)
        write_texts(self.small, self.texts, self.documents)
        some = self.data.synthetic_questions()
        self.questions = [f"{some[number % len(some)]} {number}" for number in range(QUESTIONS)]
        self.question_file = write_questions(self.directory / "questions.jsonl", self.questions)

    # ------------------------------------------------------------------------------------- with a stub embedder

    def vectrion(self):
        with Installation(self.services, 1, *stub_settings(self.url)) as running:
            warm_up(running, self.directory / "vectrion", self.texts)
            small = ingest_counted(self.services, running, self.stub, self.small)
            pdfs = ingest_counted(self.services, running, self.stub, self.pdfs)
            server = running.server
            server.wait_until_idle(30)
            common = ["--addr", server.url, "--key-file", server.key_file, "--questions", self.question_file]
            common += ["--clients", CLIENTS, "--seconds", LOAD_S]
            queries = {mode: measure("vectrion-bench", "load", *common, "--mode", mode) for mode in ("dense", "hybrid")}
            found = {"small": small, "pdfs": pdfs, "queries": queries, "resident_mib": sum(running.resident_mib())}
        # No peer looks for text that a reader of the page cannot see; for that Vectrion draws every page.
        settings = (*stub_settings(self.url), "documents.drop_hidden_text=false")
        with Installation(self.services, 1, *settings) as running:
            warm_up(running, self.directory / "vectrion-plain", self.texts)
            found["plain"] = ingest_counted(self.services, running, self.stub, self.pdfs)
        return found

    def celery_with_stub(self):
        with CeleryStack(self.celery, self.services, self.url) as running:
            running.ingest(write_texts(self.directory / "celery", self.texts, UPLOADS), UPLOADS)
            small = running.ingest(self.small, UPLOADS, self.stub)
            pdfs = running.ingest(self.pdfs, UPLOADS, self.stub)
            queries = running.load(self.questions, CLIENTS, LOAD_S)
            return {"small": small, "pdfs": pdfs, "queries": queries, "resident_mib": pdfs["resident_mib"]}

    def run_langchain(self, embed, folder):
        command = [self.langchain, HERE / "peer_langchain.py", embed, self.question_file, *sorted(folder.iterdir())]
        try:
            done = subprocess.run(
                [*map(str, command)],
                env=os.environ | QUIET,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProgramError(f"it did not end within {TIMEOUT_S} s") from None
        if done.returncode != 0:
            raise ProgramError((done.stderr.strip().splitlines() or ["no message"])[-1])
        return json.loads(done.stdout.strip().splitlines()[-1])

    def langchain_with_stub(self):
        return {name: self.run_langchain(self.url, getattr(self, name)) for name in ("small", "pdfs")}

    # ---------------------------------------------------------------------------------------------------- rows

    def add(self, section, name, value, unit, **rest):
        self.report.add(section, name, value, unit, **rest)

    def show_ingest(self, vectrion, celery, langchain):
        """Goal 5."""
        peers = {"LangChain": langchain, "Celery stack": celery}
        goals = {("pdfs", "LangChain"): 1.5, ("pdfs", "Celery stack"): 2, ("small", "Celery stack"): 8}
        for what, unit, name in (("pdfs", "pages", "PDFs"), ("small", "documents", "small documents")):
            rates = {}
            for peer, found in peers.items():
                if found:
                    rates[peer] = found[what][unit] / found[what]["seconds"]
                    note = size(found[what])
                    if peer == "LangChain":
                        note += "; in its own process's memory, nothing is kept"
                    self.add("durable", f"{peer}, {name}", rates[peer], f"{unit}/s", note=note)
            if not vectrion:
                continue
            own = vectrion[what][unit] / vectrion[what]["seconds"]
            note = {"note": size(vectrion[what])}
            if not rates:
                self.add("durable", f"Vectrion, {name}", own, f"{unit}/s", **note)
            for peer, rate in rates.items():
                against, least = f"{peer} {rate:.1f}", goals.get((what, peer))
                self.add(
                    "durable", f"Vectrion, {name}", own, f"{unit}/s", against=against, ratio=own / rate, at_least=least, **note
                )
                note = {}
            if what == "pdfs":
                plain = vectrion["plain"]
                own = plain["pages"] / plain["seconds"]
                for peer, rate in rates.items():
                    name = "Vectrion, PDFs, without the search for hidden text"
                    self.add("durable", name, own, "pages/s", against=f"{peer} {rate:.1f}", ratio=own / rate)
        self.show_processor(vectrion, celery, langchain)

    def show_processor(self, vectrion, celery, langchain):
        """What a small document costs; the client and the stub are no part of it."""

        def cost(found, own):
            spent, documents = found["small"]["spent"], found["small"]["documents"]
            itself = sum(spent.seconds[name] for name in own) / documents * 1e3
            whole = spent.platform() / documents * 1e3
            return whole, f"its own processes {itself:.1f}, services {whole - itself:.1f}; of all: {spent.shares()}"

        name = "processor of a small document, services too"
        theirs = None
        if celery:
            theirs, note = cost(celery, ("FastAPI", "Celery"))
            self.add("durable", f"Celery stack, {name}", theirs, "ms", note=note)
        if langchain:
            small = langchain["small"]
            self.add(
                "durable",
                "LangChain, processor of a small document",
                small["processor_seconds"] / small["documents"] * 1e3,
                "ms",
            )
        if vectrion:
            whole, note = cost(vectrion, ("server", "workers"))
            goal = {"against": f"Celery stack {theirs:.1f}", "ratio": whole / theirs, "at_most": 0.125} if theirs else {}
            self.add("durable", f"Vectrion, {name}", whole, "ms", note=note, **goal)
        for peer, found, what in (
            ("Celery stack", celery, "FastAPI and Celery"),
            ("Vectrion", vectrion, "server, worker and PDF processes"),
        ):
            if found:
                self.add("durable", f"{peer}, resident memory of {what}", found["resident_mib"], "MiB")

    def show_queries(self, vectrion, celery):
        """Goal 6."""
        rate = slow = None
        clients = f"{CLIENTS} clients, each question once"
        if celery:
            found = celery["queries"]
            rate, slow = found["per_second"], found["latency_ms"]["p99"]
            note = f"p50 {found['latency_ms']['p50']:.1f} ms{errors_of(found)}"
            self.add("query, stub", f"Celery stack, {clients}", rate, "requests/s", note=note)
            self.add("query, stub", f"Celery stack, {clients}: p99", slow, "ms")
        for mode in ("dense", "hybrid") if vectrion else ():
            found = vectrion["queries"][mode]
            latency = found["latency_ms"]
            if not latency:
                self.report.say("query, stub", f"Vectrion, {mode}: no answer{errors(found)}")
                continue
            own = found["per_second"]
            # The peer's search is dense; what hybrid does beside it has no goal.
            faster, sooner = ({"at_least": 10}, {"at_most": 0.25}) if mode == "dense" else ({}, {})
            if not celery:
                faster = sooner = {}
            else:
                faster |= {"against": f"Celery stack {rate:.0f}", "ratio": own / rate}
                sooner |= {"against": f"Celery stack {slow:.1f}", "ratio": latency["p99"] / slow}
            note = f"p50 {latency['p50']:.1f} ms{errors(found)}"
            self.add("query, stub", f"Vectrion, {mode}, {clients}", own, "requests/s", note=note, **faster)
            self.add("query, stub", f"Vectrion, {mode}, {clients}: p99", latency["p99"], "ms", **sooner)

    # ------------------------------------------------------------------------------------------ the real model

    def real_model(self):
        """all-MiniLM-L6-v2 by sentence-transformers in the peers' processes."""
        if not self.models:
            self.report.say("real model", "the environment of Haystack, which has PyTorch, is not there")
            return
        model = model_directory(self.models)
        rates = {}
        if self.langchain:
            print("==> LangChain, sentence-transformers", flush=True)
            if found := self.tried("LangChain, real model", lambda: self.run_langchain(model, self.pdfs)):
                rates["LangChain"] = found["pages"] / found["seconds"]
                self.add("real model", "LangChain, PDFs", rates["LangChain"], "pages/s", note=size(found))
                times = found["query_ms"]
                note = f"p99 {times['p99']:.1f} ms; in its own process, no network"
                self.add("real model", "LangChain, query: p50", times["p50"], "ms", note=note)
                self.add("real model", "LangChain, peak resident", found["peak_mib"], "MiB")
        if self.celery:
            print("==> Celery stack, sentence-transformers", flush=True)
            if found := self.tried("Celery stack, real model", lambda: self.celery_with_model(model)):
                rates["Celery stack"] = found["pages"] / found["seconds"]
                self.add("real model", "Celery stack, PDFs", rates["Celery stack"], "pages/s", note=size(found))
                times = found["queries"]["latency_ms"]
                note = f"p99 {times['p99']:.1f} ms{errors_of(found['queries'])}"
                self.add("real model", "Celery stack, query, 1 client: p50", times["p50"], "ms", note=note)
                self.add("real model", "Celery stack, resident memory", found["resident_mib"], "MiB")
        for variant, ours in (self.ours or {}).items():
            own = ours["pages"] / ours["seconds"]
            for peer, rate in rates.items():
                against = f"{peer} {rate:.1f}"
                self.add("real model", f"Vectrion {variant}, PDFs", own, "pages/s", against=against, ratio=own / rate)

    def celery_with_model(self, model):
        with CeleryStack(self.celery, self.services, model) as running:
            running.ingest(write_texts(self.directory / "celery-model", self.texts, UPLOADS), UPLOADS)
            found = running.ingest(self.pdfs, UPLOADS)
            return found | {"queries": running.load(self.questions, 1, LOAD_S, warm_up=2.0)}


def size(found):
    said = f"{found['documents']} documents, {found['pages']} pages, {found['chunks']} chunks, {found['seconds']:.1f} s"
    missing = found.get("not_indexed", 0)
    return f"{said}, {missing} not indexed" if missing else said


def errors_of(found):
    said = f", {found['errors']} errors" if found["errors"] else ""
    return said + (f", {found['without_passages']} without passages" if found["without_passages"] else "")
