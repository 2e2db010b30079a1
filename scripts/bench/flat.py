"""Memory stays flat: many small documents into one server of the embedded profile."""

import tempfile
from pathlib import Path

from distributed import stub_settings
from memory import tree
from retrieval import fill
from server import Server, stub_embedder

DOCUMENTS, DOCUMENTS_FULL = 2_000, 10_000
DOCUMENT_BYTES = 1500
# Shares of the documents after which it is looked at.
MARKS = (0.1, 0.5, 1.0)
# The growth that is allowed between the last two.
ALLOWED = 1.1


def resident(root, data):
    """Resident MiB of a process and its descendants: in all, in mapped files below the directory (those of the index and of
    the database), and in memory of its own."""
    whole = mapped = anonymous = 0
    for pid in tree(root):
        inside = private = False
        try:
            lines = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if not words[0].endswith(":"):
                path = line.split(maxsplit=5)[5] if len(words) > 5 else ""
                inside, private = path.startswith(f"{data}/"), not path.startswith("/")
            elif words[0] == "Rss:":
                kib = int(words[1])
                whole += kib
                mapped += kib if inside else 0
                anonymous += kib if private else 0
    return whole / 1024, mapped / 1024, anonymous / 1024


def flat(bench):
    total = bench.documents or (DOCUMENTS_FULL if bench.full else DOCUMENTS)
    if total < DOCUMENTS_FULL:
        bench.report.say("flat", f"{total:,} documents; {DOCUMENTS_FULL:,} are measured with FULL=1")
    with tempfile.TemporaryDirectory(prefix="vectrion-bench-") as directory, stub_embedder() as url:
        documents = bench.data.synthetic_documents(DOCUMENT_BYTES)
        with Server(*stub_settings(url)) as server:
            done = chunks = 0
            seen = []
            for mark in MARKS:
                missing = max(1, round(total * mark) - done)
                chunks += fill(server, Path(directory) / f"part-{done}", documents, missing)
                done += missing
                # The index is optimised in the background, which takes memory of its own meanwhile.
                idle = server.wait_until_idle(60) is not None
                whole, mapped, anonymous = resident(server.pid, server.directory)
                seen.append((whole, mapped))
                bench.report.add(
                    "flat",
                    f"resident after {done:,} documents, server and children",
                    whole,
                    "MiB",
                    note=f"{chunks:,} points; {mapped:.0f} MiB in mapped files of the index and the database, "
                    f"{anonymous:.0f} MiB of its own{'' if idle else '; the server was still computing'}",
                )
            (half, half_mapped), (end, end_mapped) = seen[-2:]
            bench.report.add(
                "flat",
                "between half and all of the documents, without the mapped files",
                end - end_mapped,
                "MiB",
                against=f"at half {half - half_mapped:.0f}",
                ratio=(end - end_mapped) / (half - half_mapped),
                at_most=ALLOWED,
                note=f"the mapped files grew by {end_mapped - half_mapped:.1f} MiB",
            )
