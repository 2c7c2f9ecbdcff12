"""The chat server with the tuning interface: files and jobs, misbehaving as planned.

``plan`` says what befalls the calls of each kind in their order: ``{"POST files": ["429", "slow"]}``.
"""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlparse

from chat_server import STATUS, ChatServer, send, uploaded


class TuningServer(ChatServer):
    """A job succeeds at the look after ``looks`` looks, or ends as ``end`` says."""

    def __init__(self, latency: float = 0.0, end: str = "succeeded", looks: int = 1) -> None:
        super().__init__(latency=latency)
        self.end, self.looks = end, looks
        self.plan: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.uploads: list[dict] = []
        self.contents: list[bytes] = []
        self.tunings: list[dict] = []
        self.keys: set[str] = set()

    def route(self, handler: BaseHTTPRequestHandler, data: bytes) -> bool:
        """Answer calls on files and tuning jobs."""
        path = urlparse(handler.path).path.removeprefix("/v1/")
        if path != "files" and not path.startswith("fine_tuning/jobs"):
            return False
        kind = f"{handler.command} {'look' if path.count('/') == 2 else path.split('/')[-1]}"
        with self.lock:
            self.calls.append(kind)
            self.keys.add(handler.headers["Authorization"])
            planned = self.plan.get(kind, [])
            action = planned.pop(0) if planned else "ok"
        if action in STATUS:
            message = f"no: {handler.headers['Authorization']}"
            wait = {"Retry-After": "0.05"} if action == "429" else {}
            send(handler, {"error": {"message": message, "code": action}}, STATUS[action], wait)
            return True
        time.sleep(2.0 if action == "slow" else self.latency)
        with self.lock:
            answer = self.reply(kind, handler, data)
        # "lost": what was asked for is done, but the answer breaks off
        time.sleep(2.0 if action == "late" else 0)
        send(handler, answer, cut=action == "lost")
        return True

    def reply(self, kind: str, handler: BaseHTTPRequestHandler, data: bytes) -> dict:
        """Do what a call asks for."""
        if kind == "POST files":
            name, content = uploaded(handler, data)
            self.contents.append(content)
            self.uploads.append(
                {
                    "id": f"file-{len(self.uploads)}",
                    "object": "file",
                    "bytes": len(content),
                    "created_at": 0,
                    "filename": name,
                    "purpose": "fine-tune",
                    "status": "processed",
                }
            )
            return self.uploads[-1]
        if kind == "POST jobs":
            order = json.loads(data)
            self.tunings.append(
                {
                    "id": f"ftjob-{len(self.tunings)}",
                    "object": "fine_tuning.job",
                    "created_at": 0,
                    "hyperparameters": {},
                    "organization_id": "o",
                    "result_files": [],
                    "seed": 0,
                    "status": "running",
                    "fine_tuned_model": None,
                    "error": None,
                    **order,
                    "looks": 0,
                }
            )
            return self.tunings[-1]
        if kind == "GET look":
            job = next(j for j in self.tunings if j["id"] == handler.path.split("/")[-1])
            self.end_of(job, handler)
            return job
        data_ = self.uploads if kind == "GET files" else self.tunings
        return {"object": "list", "data": data_, "has_more": False}

    def end_of(self, job: dict, handler: BaseHTTPRequestHandler) -> None:
        """Let a job end when it was looked at often enough."""
        job["looks"] += 1
        if job["looks"] <= self.looks or job["status"] != "running":
            return
        job["status"] = self.end
        if self.end == "succeeded":
            job["fine_tuned_model"] = f"ft:{job['model']}:{job['suffix']}"
        elif self.end == "failed":
            message = f"bad file, said {handler.headers['Authorization']}"
            job["error"] = {"code": "invalid", "message": message, "param": None}
