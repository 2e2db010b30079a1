"""The distributed profile on real services: throughput from one to four workers, and what a document costs.

The embedder is a stub, so that the platform is what is measured; PostgreSQL waits for the disk (fsync), RabbitMQ confirms.
"""

import itertools
import tempfile
from pathlib import Path

from server import is_indexed, stub_embedder
from services import Installation, Services, Spent

WORKERS = (1, 2, 4)
SMALL_DOCUMENTS = 400
SMALL_BYTES = 1500
# Uploads at once, for the peers too.
UPLOADS = 8
# Before anything is counted: connections are made, collections and queues are there.
WARM_UP = 8
SERVICES = ("postgres", "rabbitmq", "redis", "s3", "qdrant")


def stub_settings(url):
    return (f"models.embed={url}", "models.embed_model=synthetic", "models.embed_dimension=384")


def write_texts(folder, documents, count, begin=0):
    """So many of the documents as files of a new directory."""
    folder.mkdir(parents=True)
    for number, text in enumerate(itertools.islice(documents, count)):
        (folder / f"{begin + number:06}.txt").write_text(text, encoding="utf-8")
    return folder


def ingest_counted(services, running, stub, folder):
    """Ingests a folder; what was done, how fast, and what it cost. Statements and messages are counted where the services
    were started for it.
    """
    if services.statements:
        services.forget_statements()
        messages = services.messages()
    stages = running.stages()
    groups = running.processes() | services.processes() | {"stub embedder": [stub]}
    with Spent(groups) as spent:
        documents, took = running.server.ingest(folder, parallel=UPLOADS)
    done = [document for document in documents if is_indexed(document)]
    after, counts = running.stages(), {}
    if services.statements:
        counts = services.statement_counts(running.name)
        now = services.messages()
        counts["messages"] = {name: now[name] - messages[name] for name in now}
    return {
        "documents": len(done),
        "not_indexed": len(documents) - len(done),
        "pages": sum(document.get("pageCount", 0) for document in done),
        "chunks": sum(document.get("chunkCount", 0) for document in done),
        "seconds": took,
        "spent": spent,
        "stages": {
            name: (jobs - stages.get(name, (0, 0))[0], seconds - stages.get(name, (0, 0))[1])
            for name, (jobs, seconds) in after.items()
        },
    } | counts


def warm_up(running, directory, documents):
    running.server.ingest(write_texts(directory / "warm-up", documents, WARM_UP), parallel=UPLOADS)


def distributed(bench):
    count = bench.documents or SMALL_DOCUMENTS
    with (
        tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory,
        Services(*SERVICES, statements=True) as services,
        stub_embedder(with_process=True) as (url, stub),
    ):
        directory = Path(directory)
        vectors = services.vectors()
        of = f"PostgreSQL {services.version()} with fsync, RabbitMQ with confirms, Redis, S3 (versitygw), and {vectors}"
        bench.report.say("distributed", f"on {of}; stub embedder; one server")
        small, texts = directory / "small", bench.data.synthetic_documents(SMALL_BYTES)
        write_texts(small, texts, count)
        pdfs = directory / "pdfs"
        has_pdfs = bench.data.flat_copy(pdfs) > 0
        first = {}
        for workers in WORKERS:
            print(f"    {workers} worker{'s' if workers > 1 else ''}", flush=True)
            with Installation(services, workers, *stub_settings(url)) as running:
                warm_up(running, directory / str(workers), texts)
                found = ingest_counted(services, running, stub, small)
                show_rate(bench, workers, "small documents", found, "documents", first)
                show_costs(bench, workers, "small documents", found, vectors)
                if workers == WORKERS[0]:
                    for calls, took, text in found["most"]:
                        per = calls / max(1, found["documents"])
                        said = f"{per:.2f} times a document, {took / calls:.2f} ms each: {text}"
                        bench.report.say("distributed", said)
                if has_pdfs:
                    found = ingest_counted(services, running, stub, pdfs)
                    show_rate(bench, workers, "PDFs", found, "pages", first)
                    if workers == WORKERS[0]:
                        show_costs(bench, workers, "PDFs", found, vectors)
                server, worker = running.resident_mib()
                name = f"{label(workers)}: resident memory of the server"
                note = f"one worker with its PDF processes {worker:.0f} MiB"
                bench.report.add("distributed", name, server, "MiB", note=note)


def label(workers):
    return f"{workers} worker{'s' if workers > 1 else ''}"


def show_rate(bench, workers, what, found, unit, first):
    rate = found[unit] / found["seconds"]
    of_one = first.setdefault(what, rate)
    against = {} if workers == WORKERS[0] else {"against": f"1 worker {of_one:.1f}", "ratio": rate / of_one}
    size = f"{found['documents']} documents, {found['pages']} pages, {found['chunks']} chunks, {found['seconds']:.1f} s"
    if found["not_indexed"]:
        size += f", {found['not_indexed']} not indexed"
    bench.report.add("distributed", f"{label(workers)}: {what}", rate, f"{unit}/s", note=size, **against)
    if unit == "documents" and found["pages"]:
        pages = found["pages"] / found["seconds"]
        bench.report.add("distributed", f"{label(workers)}: {what}, pages", pages, "pages/s")


def show_costs(bench, workers, what, found, vectors):
    """Of a document: processor, statements, messages; and where the time goes."""
    documents, spent = found["documents"], found["spent"]
    head = f"{label(workers)}, a document of the {what}"

    def add(name, value, unit, note=""):
        bench.report.add("distributed", f"{head}: {name}", value, unit, note=note)

    own = sum(spent.seconds[name] for name in ("server", "workers"))
    services = spent.platform() - own
    note = f"server and workers {own / documents * 1e3:.1f}, services {services / documents * 1e3:.1f}"
    if vectors.startswith("the Qdrant server"):
        note += " without the vectors, whose process is not ours"
    add("processor", spent.platform() / documents * 1e3, "ms", note)
    note = f"{found['commits'] / documents:.1f} commits beside them, {found['milliseconds'] / documents:.1f} ms in all"
    add("database statements", found["statements"] / documents, "statements", note)
    delivered = found["messages"]["delivered"] / documents
    add("broker messages published", found["messages"]["published"] / documents, "messages", f"{delivered:.1f} delivered")
    jobs = ", ".join(
        f"{name} {seconds / count * 1e3:.1f} ms of waiting and work a job ({count:.0f} jobs)"
        for name, (count, seconds) in sorted(found["stages"].items())
        if count
    )
    busy = 100 * sum(spent.seconds.values()) / spent.took / bench.report.machine["cores"]
    add("where the time goes: processor in use", busy, "%", f"of it {spent.shares()}; {jobs}")
