#!/usr/bin/env python3
"""`make bench`: measures the release build and prints a table; the same as Markdown and JSON in `target/bench`.

    python3 scripts/bench/main.py [--only SECTION,…] [--full] [--documents N] [--skip-build] [DIRECTORY…]

A section that fails is reported, and the others go on. The exit status tells whether all could be measured; a missed
goal is printed as missed and changes no status.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(f"bench: Python 3.11 or later is needed, this is {sys.version.split()[0]}")

import argparse
import signal
import time
import traceback

import engines
import programs
from data import Data
from distributed import distributed
from flat import flat
from ingest import ingest
from report import Report
from retrieval import retrieval
from scifact import scifact

# The sections in their order. Answers, and searches with the real model, are asked of the server of `ingest`, which is
# therefore filled for these too.
SECTIONS = {
    "extraction": engines.extraction,
    "chunking": engines.chunking,
    "embedding": engines.embedding,
    "ingest": ingest,
    "retrieval": retrieval,
    "answers": None,
    "scifact": scifact,
    "distributed": distributed,
    "flat": flat,
}
RAW_SECONDS = 16


class Bench:
    """What the sections share."""

    def __init__(self, data, report, only, full, documents):
        self.data = data
        self.report = report
        self.only = only
        self.full = full
        # Small documents of `distributed` and `flat`; 0: as many as these take by themselves.
        self.documents = documents
        self.raw = {}

    def wants(self, section):
        return section in self.only

    def raw_embedder(self, variant):
        """The embedder by itself, measured once in a run."""
        if variant not in self.raw:
            self.raw[variant] = programs.measure("examples/embedding_speed", variant, RAW_SECONDS)
        return self.raw[variant]


def main():
    parser = argparse.ArgumentParser(description="Measures the release build of Vectrion.")
    parser.add_argument("directories", nargs="*", metavar="DIRECTORY", help="data; default: the project's own examples")
    parser.add_argument("--only", default="", help=f"sections, with commas between: {', '.join(SECTIONS)}")
    parser.add_argument("--full", action="store_true", help="100k chunks on the project's own examples too, 10,000 documents")
    parser.add_argument("--documents", type=int, default=0, help="small documents of `distributed` and `flat`")
    parser.add_argument("--skip-build", action="store_true", help="measure what was built before")
    arguments = parser.parse_args()
    only = [name.strip() for name in arguments.only.split(",") if name.strip()] or list(SECTIONS)
    if unknown := [name for name in only if name not in SECTIONS]:
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data = Data(arguments.directories)
    try:
        if not arguments.skip_build:
            programs.build()
    except programs.ProgramError as error:
        sys.exit(f"bench: {error}")
    report = Report("`make bench`", programs.target() / "bench")
    bench = Bench(data, report, only, arguments.full, arguments.documents)
    report.say("data", data.describe())
    failed, file = 0, "bench" if len(only) == len(SECTIONS) else "bench-part"
    for name, section in SECTIONS.items():
        needed = name in only or (name == "ingest" and {"answers", "retrieval"} & set(only))
        if section is None or not needed:
            continue
        print(f"==> {name}", flush=True)
        began = time.monotonic()
        try:
            section(bench)
        except KeyboardInterrupt:
            report.say(name, "interrupted; what follows was not measured")
            failed += 1
            break
        except Exception as error:
            if not isinstance(error, programs.ProgramError):
                traceback.print_exc()
            report.say(name, f"not measured: {error}")
            failed += 1
        print(f"    {time.monotonic() - began:.0f} s", flush=True)
        report.save(file)
    report.show(file)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
