"""Figures: one table for the terminal, the same as Markdown and JSON under `target/bench`."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Figure:
    """A measured value. `met` is None where there is no goal."""

    section: str
    name: str
    value: float | None
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""

    def verdict(self):
        return {None: "", True: "met", False: "MISSED"}[self.met]


def machine():
    model, memory = platform.machine(), 0
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    for line in flags.splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) / 1024**2
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "vector_instructions": [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni") if f" {name}" in flags],
        "memory_gib": round(memory, 1),
        "system": platform.platform(terse=True),
        "load_before": round(os.getloadavg()[0], 2),
    }


def number(value, unit="ms"):
    """As many digits as mean something; a figure without a unit is a score."""
    if value is None:
        return "–"
    if not unit:
        return f"{value:.4f}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


class Report:
    """Collects figures and the sections that failed."""

    def __init__(self, title, out):
        self.title = title
        self.out = Path(out)
        self.machine = machine()
        self.figures = []
        self.messages = []
        self.started = time.time()

    def add(self, section, name, value, unit, against="", ratio=None, at_least=None, at_most=None, note=""):
        """Adds a figure. The goal is on the ratio where there is one, else on the value."""
        judged = ratio if ratio is not None else value
        goal, met = "", None
        if at_least is not None:
            goal, met = f"≥ {at_least:g}", judged is not None and judged >= at_least
        elif at_most is not None:
            goal, met = f"≤ {at_most:g}", judged is not None and judged <= at_most
        figure = Figure(section, name, value, unit, against, ratio, goal, met, note)
        self.figures.append(figure)
        print("   " + self.line(figure), flush=True)

    def say(self, section, message):
        self.messages.append({"section": section, "message": message})
        print(f"   {section}: {message}", flush=True)

    def line(self, figure):
        parts = [f"{figure.name}: {number(figure.value, figure.unit)} {figure.unit}".strip()]
        if figure.against:
            parts.append(f"against {figure.against}")
        if figure.ratio is not None:
            parts.append(f"ratio {figure.ratio:.2f}")
        if figure.goal:
            parts.append(f"goal {figure.goal}: {figure.verdict()}")
        if figure.note:
            parts.append(f"({figure.note})")
        return ", ".join(parts)

    def heading(self):
        m = self.machine
        when = time.strftime("%Y-%m-%d", time.gmtime(self.started))
        return (
            f"{when}, {m['cores']} cores of {m['cpu']} ({', '.join(m['vector_instructions']) or 'no AVX2'}), "
            f"{m['memory_gib']:.0f} GiB, load before the run {m['load_before']}"
        )

    def markdown(self):
        lines = [f"{self.title}: {self.heading()}.", ""]
        lines += ["| | figure | value | against | ratio | goal | |", "|---|---|---|---|---|---|---|"]
        section = None
        for figure in self.figures:
            shown = figure.section if figure.section != section else ""
            section = figure.section
            ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
            verdict = f"**{figure.verdict()}**" if figure.met is False else figure.verdict()
            name = figure.name + (f" ({figure.note})" if figure.note else "")
            value = f"{number(figure.value, figure.unit)} {figure.unit}".strip()
            cells = [shown, name, value, figure.against, ratio, figure.goal, verdict]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if self.messages:
            lines += [""] + [f"- {entry['section']}: {entry['message']}" for entry in self.messages]
        return "\n".join(lines) + "\n"

    def table(self):
        rows = [("figure", "value", "against", "ratio", "goal", "")]
        section = None
        for f in self.figures:
            if f.section != section:
                rows.append((f"[{f.section}]", "", "", "", "", ""))
                section = f.section
            ratio = f"{f.ratio:.2f}" if f.ratio is not None else ""
            rows.append((f.name, f"{number(f.value, f.unit)} {f.unit}", f.against, ratio, f.goal, f.verdict()))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)

    def save(self, name):
        self.out.mkdir(parents=True, exist_ok=True)
        content = {
            "title": self.title,
            "machine": self.machine,
            "started": int(self.started),
            "seconds": round(time.time() - self.started),
            "figures": [asdict(figure) for figure in self.figures],
            "messages": self.messages,
        }
        (self.out / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        (self.out / f"{name}.md").write_text(self.markdown(), encoding="utf-8")

    def show(self, name):
        print(f"\n{self.heading()}\n\n{self.table()}")
        for entry in self.messages:
            print(f"! {entry['section']}: {entry['message']}")
        missed = [figure for figure in self.figures if figure.met is False]
        print(f"\n{len(self.figures)} figures, {len(missed)} goals missed, {time.time() - self.started:.0f} s")
        print(f"written to {self.out / name}.md and .json")
