"""A real HTTP server on this machine that speaks the chat and batch interfaces, and misbehaves on demand.

What it does is written in the prompt: ``"question 7 [429 cut ok]"`` is answered with a rate limit, then with
a connection cut off in mid-answer, then well, and from then on well.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

CONTENT = {"ok": '{"pairs": ["a", "b"]}', "fenced": '```json\n{"pairs": ["a", "b"]}\n```'}
CONTENT |= {
    "short": '{"pairs": ["a"]}',
    "prose": "Sure! Here are the pairs.",
    "long": '{"pairs": ["a',
    "empty": "",
}
STATUS = {"429": 429, "500": 500, "400": 400, "401": 401, "quota": 429, "wait": 429}


class ChatServer:
    """The server; use it in ``with``."""

    def __init__(
        self, latency: float = 0.0, tokens: tuple[int, int] = (100, 10), retry_after: str = "0.2"
    ) -> None:
        self.latency, self.tokens, self.retry_after = latency, tokens, retry_after
        self.content = dict(CONTENT)
        self.lock = threading.Lock()
        self.arrivals: list[tuple[float, str, dict]] = []
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict] = {}
        self.polls = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if server.route(self, data):
                    return
                if self.path == "/v1/chat/completions":
                    server.chat(self, json.loads(data))
                elif self.path == "/v1/files":
                    _, content = uploaded(self, data)
                    name = f"file-{len(server.files)}"
                    server.files[name] = content
                    send(self, {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x"})
                else:
                    send(self, server.start(json.loads(data)))

            def do_GET(self) -> None:
                if server.route(self, b""):
                    return
                if self.path.endswith("/content"):
                    send(self, server.files[self.path.split("/")[3]])
                elif self.path.startswith("/v1/batches/"):
                    server.polls += 1
                    job = server.jobs[self.path.split("/")[3]]
                    send(self, job)
                    job["status"] = job["then"]
                else:
                    send(self, {"object": "list", "data": list(server.jobs.values()), "has_more": False})

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def paid(self) -> int:
        """Answers that were charged: one for each idempotency key."""
        return len(self.answered)

    def route(self, handler: BaseHTTPRequestHandler, data: bytes) -> bool:
        """Answer what this server does not know, and say so; a server with more interfaces overrides it."""
        return False

    def action(self, messages: list[dict]) -> str:
        """Return what the first user text says about this arrival."""
        content = next(m["content"] for m in messages if m["role"] == "user")
        text = (
            content if isinstance(content, str) else next(p["text"] for p in content if p["type"] == "text")
        )
        planned = re.search(r"\[(.*)\]", text)
        steps = planned[1].split() if planned else []
        with self.lock:
            turn = self.seen[text]
            self.seen[text] += 1
        return steps[turn] if turn < len(steps) else "ok"

    def completion(self, action: str) -> dict:
        """Return the body of an answer."""
        message = {"role": "assistant", "content": self.content.get(action, self.content["ok"])}
        if action == "refuse":
            message |= {"content": None, "refusal": "I cannot help with that."}
        reason = {"long": "length", "filter": "content_filter"}.get(action, "stop")
        usage = dict(zip(("prompt_tokens", "completion_tokens"), self.tokens, strict=True))
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": None if action == "nousage" else usage | {"total_tokens": sum(self.tokens)},
        }

    def chat(self, handler: BaseHTTPRequestHandler, body: dict) -> None:
        """Answer one chat request as its prompt says."""
        with self.lock:
            self.arrivals.append((time.monotonic(), handler.headers["Authorization"], body))
        action = self.action(body["messages"])
        if action in STATUS:
            error = {"message": f"no: {handler.headers['Authorization']}", "code": "insufficient_quota"}
            wait = {"429": self.retry_after, "wait": "3600"}.get(action)
            body = {"error": error if action == "quota" else error | {"code": action}}
            send(handler, body, STATUS[action], {"Retry-After": wait} if wait else {})
            return
        time.sleep(2.5 if action == "slow" else self.latency)
        if action == "garbage":
            send(handler, b"{not json")
        elif action == "html":
            send(handler, b"<html>bad gateway</html>", kind="text/html")
        elif action == "nochoices":
            send(handler, self.completion("ok") | {"choices": []})
        elif action == "cut":
            send(handler, self.completion("ok"), cut=True)
        else:
            with self.lock:
                self.answered[handler.headers["Idempotency-Key"]] += 1
            answer = self.completion(action)
            if action == "echo":
                answer["choices"][0]["message"]["content"] = f"you said {handler.headers['Authorization']}"
            send(handler, answer)

    def start(self, order: dict) -> dict:
        """Start a batch job, which is done at the second look."""
        lines, bad = [], []
        for line in self.files[order["input_file_id"]].decode().splitlines():
            asked = json.loads(line)
            action = self.action(asked["body"]["messages"])
            if action == "lost":
                continue
            status, body = (
                (400, {"error": {"message": "no"}}) if action == "400" else (200, self.completion(action))
            )
            answer = {"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}}
            (bad if status != 200 else lines).append(json.dumps(answer))
            self.answered[f"batch {asked['custom_id']}"] += status == 200
        name = f"batch_{len(self.jobs)}"
        self.files |= {f"{name}-out": "\n".join(lines).encode(), f"{name}-bad": "\n".join(bad).encode()}
        self.jobs[name] = {
            "id": name,
            "object": "batch",
            "endpoint": order["endpoint"],
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": order["input_file_id"],
            "status": "in_progress",
            "then": "completed",
            "metadata": order["metadata"],
            "output_file_id": f"{name}-out",
            "error_file_id": f"{name}-bad" if bad else None,
        }
        return self.jobs[name]


def uploaded(handler: BaseHTTPRequestHandler, data: bytes) -> tuple[str, bytes]:
    """Return name and content of the file in an upload."""
    head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
    part = next(p for p in BytesParser().parsebytes(head + data).get_payload() if p.get_filename())
    return part.get_filename(), part.get_payload(decode=True)


def send(
    handler: BaseHTTPRequestHandler,
    body: dict | bytes,
    status: int = 200,
    headers: dict[str, str] | None = None,
    kind: str = "application/json",
    cut: bool = False,
) -> None:
    """Write a response; cut off, its second half never comes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        handler.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2] if cut else data)
        handler.close_connection = handler.close_connection or cut
    except (BrokenPipeError, ConnectionResetError):
        handler.close_connection = True
