"""A caller of a peer's HTTP interface: uploads, and searches under load, as `vectrion ingest` and `vectrion-bench load` do it."""

import http.client
import itertools
import json
import math
import threading
import time
import urllib.parse

from programs import ProgramError

TIMEOUT_S = 120
BOUNDARY = "vectrion-bench-part"


class Caller:
    """A connection that is kept."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def call(self, method, path, body=None, kind="application/json"):
        """Status and body of the answer."""
        self.connection.request(method, path, body, {"content-type": kind} if body is not None else {})
        response = self.connection.getresponse()
        return response.status, response.read()

    def json(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status >= 300:
            raise ProgramError(f"{method} {path} was answered with {status}: {answer[:200].decode(errors='replace')}")
        return json.loads(answer)


def in_threads(count, work):
    """Runs the work so many times at once; what the threads returned. The first failure is raised."""
    results, errors = [], []

    def run():
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0] if isinstance(errors[0], ProgramError) else ProgramError(f"a caller failed: {errors[0]!r}")
    return results


def upload(url, files, at_once):
    """Uploads each file as a form."""
    waiting, lock = iter(files), threading.Lock()

    def work():
        caller = Caller(url)
        while True:
            with lock:
                path = next(waiting, None)
            if path is None:
                return
            head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
            body = head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
            status, answer = caller.call("POST", "/documents", body, f"multipart/form-data; boundary={BOUNDARY}")
            if status != 202:
                raise ProgramError(f"an upload was answered with {status}: {answer[:200].decode(errors='replace')}")

    in_threads(at_once, work)


def load(url, questions, clients, seconds, warm_up=1.0):
    """Searches, each caller one after the other; the same figures as `vectrion-bench load` prints."""
    bodies = [json.dumps({"query": text, "top_k": 10}).encode() for text in questions]
    numbers = itertools.count()
    start = time.monotonic() + warm_up
    end = start + seconds

    def work():
        caller, times, bad, empty = Caller(url), [], 0, 0
        while True:
            began = time.monotonic()
            if began >= end:
                return times, bad, empty
            status, answer = caller.call("POST", "/search", bodies[next(numbers) % len(bodies)])
            if began < start:
                continue
            if status == 200:
                times.append((time.monotonic() - began) * 1e3)
                empty += answer == b"[]"
            else:
                bad += 1

    found = in_threads(clients, work)
    measured = time.monotonic() - start
    times = sorted(taken for part, _, _ in found for taken in part)
    if not times:
        raise ProgramError("no search was answered")
    rank = lambda percent: times[max(1, math.ceil(len(times) * percent / 100)) - 1]  # noqa: E731
    return {
        "per_second": len(times) / measured,
        "latency_ms": {"p50": rank(50), "p99": rank(99), "max": times[-1]},
        "errors": sum(bad for _, bad, _ in found),
        "without_passages": sum(empty for _, _, empty in found),
    }
