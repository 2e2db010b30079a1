"""The program itself: `vectrion serve` on a fresh data directory, and its command line."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from memory import processor_seconds
from programs import ProgramError, environment, program

# Seconds that a process may take to be there, and to end.
READY_S = 60
END_S = 60


class Server:
    """A server in a process of its own. It is stopped when the context ends, and its data are removed. A setting that begins
    with a dash is an option of `vectrion serve`; the variables may hold secrets, which the list of processes does not show.
    """

    def __init__(self, *settings, variables=None):
        self.settings = settings
        self.variables = variables or {}
        self.directory = Path(tempfile.mkdtemp(prefix="vectrion-bench-"))
        self.process = None
        self.url = None

    def __enter__(self):
        command = [str(program("vectrion")), "serve", "--data-dir", str(self.directory), "--listen", "127.0.0.1:0"]
        for setting in self.settings:
            command += [setting] if setting.startswith("-") else ["--set", setting]
        self.log = open(self.directory / "server.log", "wb")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, env=environment() | self.variables
        )
        line = self.process.stdout.readline().decode()
        if not line.startswith("vectrion is ready on "):
            said = (self.directory / "server.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self.__exit__()
            raise ProgramError(f"the server did not start: {said[-1] if said else 'no message'}")
        self.url = line.removeprefix("vectrion is ready on ").strip()
        threading.Thread(target=lambda: [None for _ in self.process.stdout], daemon=True).start()
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    @property
    def key_file(self):
        return self.directory / "admin.key"

    def command(self, *arguments, timeout=1800, may_fail=False):
        """Runs the command line against it; each line of its output as JSON."""
        command = [str(program("vectrion")), "--json", *map(str, arguments)]
        settings = {"VECTRION_ADDR": self.url, "VECTRION_API_KEY": self.key_file.read_text(encoding="utf-8").strip()}
        done = subprocess.run(
            command, env=environment() | settings, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0 and not may_fail:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ProgramError(f"vectrion {arguments[0]} failed with status {done.returncode}: {said}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ingest(self, directory, parallel=4):
        """Ingests a directory; its documents in their final states, and the seconds it took."""
        began = time.monotonic()
        documents = self.command("ingest", directory, "--wait", "--parallel", parallel, may_fail=True)
        took = time.monotonic() - began
        if not any(is_indexed(document) for document in documents):
            raise ProgramError(f"no document of {directory} was indexed")
        return documents, took

    def metrics(self):
        """Samples of `/metrics` by name and labels as they are printed."""
        return scrape(self.directory / "server.log")

    def wait_until_idle(self, at_most, share=0.05):
        """Waits until it hardly computes (the index is optimised in the background); the seconds that took, or None."""
        began = quiet_since = time.monotonic()
        before = processor_seconds(self.pid)
        while time.monotonic() - began < at_most:
            time.sleep(1)
            now = processor_seconds(self.pid)
            if now - before > share:
                quiet_since = time.monotonic()
            before = now
            if time.monotonic() - quiet_since > 4:
                return quiet_since - began
        return None


class Worker:
    """A `vectrion-worker` that shares a server's data directory."""

    def __init__(self, directory, number, variables, settings):
        self.directory = directory
        self.log_file = directory / f"worker-{number}.log"
        self.variables = variables
        self.settings = settings

    def __enter__(self):
        command = [str(program("vectrion-worker")), "--data-dir", str(self.directory)]
        for setting in self.settings:
            command += ["--set", setting]
        self.log = open(self.log_file, "wb")
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=self.log, env=environment() | self.variables
        )
        until = time.monotonic() + READY_S
        while metrics_address(self.log_file) is None:
            if self.process.poll() is not None or time.monotonic() > until:
                said = self.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                self.__exit__()
                raise ProgramError(f"the worker did not start: {said[-1] if said else 'no message'}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        end(self.process)
        self.log.close()

    @property
    def pid(self):
        return self.process.pid

    def metrics(self):
        return scrape(self.log_file)


def end(process):
    """Asks a process to end, and kills it if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def metrics_address(log_file):
    """Where the process that writes this log serves its metrics; None if it has not said so yet."""
    match = None
    for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines():
        if "metrics and health by http" in line:
            match = re.search(r"127\.0\.0\.1:\d+", line)
    return match[0] if match else None


def scrape(log_file):
    address = metrics_address(log_file)
    if address is None:
        raise ProgramError(f"{log_file.name} does not say where the metrics are")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def is_indexed(document):
    return document.get("state") == "DOCUMENT_STATE_INDEXED"


@contextlib.contextmanager
def stub_embedder(with_process=False):
    """A server of synthetic vectors; its URL, and its process's number if it is asked for."""
    process = subprocess.Popen([str(program("vectrion-bench")), "stub"], stdout=subprocess.PIPE, env=environment())
    try:
        url = process.stdout.readline().decode().strip()
        yield (url, process.pid) if with_process else url
    finally:
        process.terminate()
        process.wait()
