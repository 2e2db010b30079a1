"""The services of the distributed profile, private and new, started by the scripts in `scripts/services`; what they spend."""

import base64
import contextlib
import json
import os
import resource
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from memory import processor_seconds, resident_mib
from programs import ROOT, ProgramError, environment, program
from server import Server, Worker

SCRIPTS = ROOT / "scripts" / "services"
# How each is called in a table.
NAMES = {"postgres": "PostgreSQL", "rabbitmq": "RabbitMQ", "redis": "Redis", "s3": "S3", "qdrant": "vectors"}
GIVEN_VECTORS = "VECTRION_TEST_QDRANT_URL"
VECTORS_PROGRAM = "VECTRION_TEST_QDRANT_PROGRAM"
# Which of the caller's settings the services take.
KEPT = ("VECTRION_CACHE_DIR", GIVEN_VECTORS, "VECTRION_TEST_QDRANT_API_KEY", VECTORS_PROGRAM)
START_S = 600
# The management interface counts every five seconds.
BROKER_COUNTS_S = 6


class Services:
    """Runs while it is entered: PostgreSQL with fsync, RabbitMQ, and what else is named. Their data are removed at the end."""

    def __init__(self, *names, statements=False, postgres=None):
        self.names = names
        self.statements = statements
        # Directory of the programs of PostgreSQL; None: Debian's.
        self.postgres = postgres
        self.addresses = {}

    def __enter__(self):
        # PostgreSQL's own user must be able to enter it; and not a file system in memory, on which fsync costs nothing.
        lasting = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="vectrion-bench-", dir=lasting))
        self.directory.chmod(0o755)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        settings = environment() | {name: os.environ[name] for name in KEPT if name in os.environ} | {"FSYNC": "on"}
        if self.statements:
            settings["STATEMENTS"] = "on"
        if self.postgres:
            settings["POSTGRES_BIN"] = str(self.postgres)
        names = list(self.names)
        if "qdrant" in names:
            if url := os.environ.get(GIVEN_VECTORS):
                names.remove("qdrant")
                self.addresses[GIVEN_VECTORS] = url
                self.addresses["VECTRION_TEST_QDRANT_API_KEY"] = os.environ.get("VECTRION_TEST_QDRANT_API_KEY", "")
            elif not os.environ.get(VECTORS_PROGRAM):
                # Before anything is started: the program may be missing.
                settings["QDRANT_STANDIN"] = str(program("qdrant-standin"))
        started = {}
        for name in names:
            command = [SCRIPTS / name, "start", self.directory / name]
            started[name] = subprocess.Popen(
                command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        failed = []
        for name, process in started.items():
            output, said = process.communicate(timeout=START_S)
            if process.returncode != 0:
                failed.append(f"{name} did not start: {(said.strip().splitlines() or ['no message'])[-1]}")
            for line in output.splitlines():
                # `export NAME='VALUE' NAME=VALUE`
                self.addresses |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
        if failed:
            raise ProgramError("; ".join(failed))

    def __exit__(self, *_):
        for name in self.names:
            if (self.directory / name).is_dir():
                stop = [SCRIPTS / name, "stop", self.directory / name]
                subprocess.run(stop, env=environment(), capture_output=True, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def processes(self):
        """The first process of each service, by the name that a table shows."""
        found = {}
        for name in self.names:
            file = self.directory / name / "pid"
            if file.is_file():
                found[NAMES[name]] = [int(file.read_text(encoding="utf-8").split()[0])]
        return found

    def vectors(self):
        """Which server of vectors it is."""
        if os.environ.get(GIVEN_VECTORS):
            return f"the Qdrant server of {GIVEN_VECTORS}"
        if real := os.environ.get(VECTORS_PROGRAM):
            said = subprocess.run([real, "--version"], capture_output=True, text=True, check=False).stdout.strip()
            return f"a Qdrant server ({said or 'it does not tell its version'})"
        return "a stand-in of the Qdrant server"

    # --------------------------------------------------------------------------------------------- PostgreSQL

    def sql(self, statement, database="postgres"):
        """Runs a statement; its rows as lists of texts."""
        url = urllib.parse.urlsplit(self.addresses["VECTRION_TEST_POSTGRES_URL"])
        psql = self.postgres / "psql" if self.postgres else "psql"
        command = [psql, "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", url.hostname, "-p", str(url.port)]
        command += ["-U", url.username, "-d", database, "-c", statement]
        done = subprocess.run(
            command, env=environment() | {"PGPASSWORD": url.password}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ProgramError(f"psql failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def make_database(self, name):
        """A database of its own; its URL."""
        self.sql(f'create database "{name}"')
        return self.addresses["VECTRION_TEST_POSTGRES_URL"].partition("?")[0].rpartition("/")[0] + f"/{name}"

    def version(self):
        return self.sql("show server_version")[0][0].split()[0]

    def forget_statements(self):
        self.sql("select pg_stat_statements_reset()")

    def statement_counts(self, database):
        """Statements, commits among them, and milliseconds in all of them, since they were forgotten; the most frequent."""
        of = f"from pg_stat_statements where dbid = (select oid from pg_database where datname = '{database}')"
        control = "query ~* '^(begin|commit|rollback|start transaction|savepoint|release)'"
        row = self.sql(
            f"select coalesce(sum(calls) filter (where not {control}), 0), coalesce(sum(calls) filter (where {control}), 0),"
            f" coalesce(sum(calls) filter (where query ~* '^commit'), 0), coalesce(sum(total_exec_time), 0) {of}"
        )[0]
        spaces = r"regexp_replace(query, '\s+', ' ', 'g')"
        most = self.sql(
            f"select calls, round(total_exec_time::numeric, 1), left({spaces}, 90) {of} and not {control}"
        )
        most = [(int(calls), float(took), text) for calls, took, text in most]
        # The most frequent ones, and those that took longest together.
        ranked = sorted(most, reverse=True)[:5], sorted(most, key=lambda found: -found[1])[:4]
        return {
            "statements": int(row[0]),
            "control": int(row[1]),
            "commits": int(row[2]),
            "milliseconds": float(row[3]),
            "most": list(dict.fromkeys(ranked[0] + ranked[1])),
        }

    # ----------------------------------------------------------------------------------------------- RabbitMQ

    def messages(self):
        """Messages that were published and delivered in the virtual host since it was made."""
        time.sleep(BROKER_COUNTS_S)
        url = urllib.parse.urlsplit(self.addresses["VECTRION_TEST_AMQP_API_URL"])
        who = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
        address = f"http://{url.hostname}:{url.port}{url.path}/vhosts/vectrion"
        request = urllib.request.Request(address, headers={"authorization": f"Basic {who}"})
        with urllib.request.urlopen(request, timeout=10) as response:
            counts = json.load(response).get("message_stats", {})
        return {"published": counts.get("publish", 0), "delivered": counts.get("deliver_get", 0)}


class Installation:
    """Vectrion on such services: one server and some workers, with a database, queues and vectors of their own."""

    def __init__(self, services, workers, *settings):
        self.services = services
        self.name = f"bench{secrets.token_hex(5)}"
        at = services.addresses
        bucket = urllib.parse.urlsplit(at["VECTRION_TEST_S3_URL"])
        variables = {
            "VECTRION_CONFIG": str(ROOT / "config" / "distributed.toml"),
            "VECTRION_AUTH_PEPPER": secrets.token_hex(32),
            "VECTRION_DATABASE_URL": services.make_database(self.name),
            "VECTRION_QUEUE_URL": at["VECTRION_TEST_AMQP_URL"],
            "VECTRION_QUEUE_PREFIX": self.name,
            "VECTRION_VECTORS_URL": f"{at[GIVEN_VECTORS].rstrip('/')}/{self.name}",
            "VECTRION_VECTORS_API_KEY": at.get("VECTRION_TEST_QDRANT_API_KEY", ""),
            "VECTRION_OBJECTS_URL": f"s3:/{bucket.path}/{self.name}",
            "VECTRION_OBJECTS_ENDPOINT": f"{bucket.scheme}://{bucket.hostname}:{bucket.port}",
            "VECTRION_OBJECTS_ACCESS_KEY_ID": bucket.username,
            "VECTRION_OBJECTS_SECRET_ACCESS_KEY": bucket.password,
            "VECTRION_OBJECTS_ALLOW_HTTP": "true",
            "VECTRION_CACHE_URL": f"{at['VECTRION_TEST_REDIS_URL']}?prefix={self.name}",
            "VECTRION_METRICS_LISTEN": "127.0.0.1:0",
        }
        self.server = Server("--migrate", *settings, variables=variables)
        self.workers = [Worker(self.server.directory, number, variables, settings) for number in range(workers)]
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            for worker in self.workers:
                stack.enter_context(worker)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def processes(self):
        return {"server": [self.server.pid], "workers": [worker.pid for worker in self.workers]}

    def resident_mib(self):
        """Of the server, and of a worker with its children, in MiB."""
        return resident_mib(self.server.pid), resident_mib(self.workers[0].pid)

    def stages(self):
        """Jobs and seconds by stage, over all workers."""
        found = {}
        for worker in self.workers:
            for name, value in worker.metrics().items():
                for part, at in (("count", 0), ("sum", 1)):
                    head = f'vectrion_stage_duration_seconds_{part}{{stage="'
                    if name.startswith(head):
                        found.setdefault(name.removeprefix(head).partition('"')[0], [0, 0.0])[at] += value
        return found


class Spent:
    """Processor seconds of groups of processes while it is entered, those of this process's children (the client) too."""

    def __init__(self, groups):
        self.groups = groups
        self.seconds = {}

    def look(self):
        found = {name: sum(map(processor_seconds, pids)) for name, pids in self.groups.items()}
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        found["client"] = sum(usage.ru_utime + usage.ru_stime for usage in used)
        return found

    def __enter__(self):
        self.before, self.began = self.look(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.took = time.monotonic() - self.began
        self.seconds = {name: value - self.before[name] for name, value in self.look().items()}

    def platform(self):
        """Without the client, and without what stands for the model."""
        return sum(value for name, value in self.seconds.items() if name not in ("client", "stub embedder"))

    def shares(self):
        """Who had the processor, the largest share first."""
        whole = sum(self.seconds.values()) or 1.0
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        return ", ".join(f"{name} {100 * value / whole:.0f} %" for name, value in parts if value / whole >= 0.005)
