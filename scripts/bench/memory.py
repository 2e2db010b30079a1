"""Processor time and resident memory of a process and all that it started."""

import os
import threading
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def processes():
    """Parent and own (ticks of processor time with ended children, resident bytes) of each process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rsplit(") ", 1)[1].split()
        except (OSError, IndexError):
            continue
        # Fields after the name, counted from 0: 1 parent, 11 to 14 times, 21 resident pages.
        found[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]) * PAGE)
    return found


def tree(root):
    """The process and its descendants that live."""
    found = processes()
    members, added = {root} & found.keys(), True
    while added:
        new = {pid for pid, (parent, _, _) in found.items() if parent in members} - members
        added = bool(new)
        members |= new
    return {pid: found[pid] for pid in members}


def processor_seconds(root):
    return sum(ticks for _, ticks, _ in tree(root).values()) / TICKS


def resident_mib(root):
    """Resident memory of all of them. Pages that processes share count in each."""
    return sum(size for _, _, size in tree(root).values()) / 1024**2


class PeakMemory:
    """The largest sum of resident memory seen while it is entered, in MiB. Pages that processes share count in each."""

    def __init__(self, root, every=0.2):
        self.root = root
        self.every = every
        self.peak_mib = 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def look(self):
        self.peak_mib = max(self.peak_mib, resident_mib(self.root))

    def watch(self):
        while not self.stop.wait(self.every):
            self.look()

    def __enter__(self):
        self.look()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
