"""FastAPI, Celery, RabbitMQ and PostgreSQL, run as a peer of the distributed profile (`peer_celery` is what runs)."""

import contextlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from http_client import Caller, load, upload
from memory import resident_mib
from programs import ProgramError, environment
from server import end
from services import Spent

HERE = Path(__file__).resolve().parent
READY_S = 120
TIMEOUT_S = 1200
# Processes of FastAPI, and of Celery: more than cores while they wait for an endpoint, as many as cores with a model.
SERVERS = 2
POOL = {"endpoint": 4, "model": 2}
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}


class CeleryStack:
    """Runs while it is entered, with a database of its own."""

    def __init__(self, python, services, embed):
        self.python = str(python)
        self.services = services
        self.embed = str(embed)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.start(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, stack):
        self.directory = Path(tempfile.mkdtemp(prefix="vectrion-bench-", dir=self.services.directory))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        uploads = self.directory / "uploads"
        uploads.mkdir()
        settings = environment() | QUIET
        settings |= {
            "PYTHONPATH": str(HERE),
            "DATABASE_URL": self.services.make_database(f"celery{secrets.token_hex(5)}"),
            "BROKER_URL": self.services.addresses["VECTRION_TEST_AMQP_URL"],
            "UPLOADS": str(uploads),
            "EMBED": self.embed,
        }
        made = subprocess.run(
            [self.python, "-m", "peer_celery.database"],
            env=settings,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise ProgramError(f"its tables cannot be made: {(made.stderr.strip().splitlines() or ['no message'])[-1]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        pool = POOL["endpoint" if self.embed.startswith("http") else "model"]
        commands = {
            "FastAPI": ["uvicorn", "peer_celery.api:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
            + ["--log-level", "warning", "--workers", str(SERVERS)],
            "Celery": ["celery", "-A", "peer_celery.tasks", "worker", "--concurrency", str(pool), "--loglevel", "WARNING"]
            + ["--without-gossip", "--without-mingle", "--without-heartbeat"],
        }
        self.running = {}
        for name, command in commands.items():
            log = stack.enter_context((self.directory / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [self.python, "-m", *command], env=settings, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(end, process)
            self.running[name] = process
        until = time.monotonic() + READY_S
        while not self.is_ready():
            self.still_runs()
            if time.monotonic() > until:
                raise ProgramError(f"it is not ready after {READY_S} s")
            time.sleep(0.2)

    def is_ready(self):
        try:
            return Caller(self.url).call("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def still_runs(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                log = self.directory / f"{name}.log"
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise ProgramError(f"{name} ended: {said[-1] if said else 'no message'}")

    def processes(self):
        return {name: [process.pid] for name, process in self.running.items()}

    def counts(self, caller):
        """Documents that are through, of them indexed, with their pages and chunks."""
        summary = caller.json("GET", "/documents/summary")
        indexed = summary.get("indexed", {"documents": 0, "pages": 0, "chunks": 0})
        return indexed, indexed["documents"] + summary.get("failed", {}).get("documents", 0)

    def ingest(self, folder, at_once, stub=None):
        """Uploads a folder and waits until all of it is through; what was done, and what it cost."""
        files = sorted(folder.iterdir())
        caller = Caller(self.url)
        before, through = self.counts(caller)
        groups = self.processes() | self.services.processes() | ({"stub embedder": [stub]} if stub else {})
        with Spent(groups) as spent:
            until = time.monotonic() + TIMEOUT_S
            upload(self.url, files, at_once)
            while self.counts(caller)[1] < through + len(files):
                self.still_runs()
                if time.monotonic() > until:
                    raise ProgramError(f"it was not through with {len(files)} documents after {TIMEOUT_S} s")
                time.sleep(0.05)
        after, _ = self.counts(caller)
        found = {name: after[name] - before[name] for name in after}
        return found | {
            "not_indexed": len(files) - found["documents"],
            "seconds": spent.took,
            "spent": spent,
            "resident_mib": sum(resident_mib(process.pid) for process in self.running.values()),
        }

    def load(self, questions, clients, seconds, warm_up=1.0):
        return load(self.url, questions, clients, seconds, warm_up)
