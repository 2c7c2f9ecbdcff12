"""Settings of chapter 4, and a chat server that writes as many pairs as it is asked for."""

from __future__ import annotations

import json

import chat_server

from gftlib.sections import DialogueSettings

KEY = "sk-canary-0123456789"
ENDPOINT = {
    "model": "${TEACHER_MODEL}",
    "base_url": "${TEACHER_URL}",
    "max_tokens": 50,
    "concurrency": 1,
    "requests_per_minute": 0,
    "usd_in": 1.0,
    "usd_out": 4.0,
    "max_usd": 5.0,
    "batch": False,
}


def settings(**changes: object) -> DialogueSettings:
    base = {
        "teacher": "offline",
        "splits": [2, 3],
        "folds": [1],
        "stage_source": "label",
        "rows": True,
        "findings": True,
        "explained": True,
        "pairs": 30,
        "top": 5,
        "send_images": False,
        "endpoint": ENDPOINT | changes.pop("endpoint", {}),
    }
    return DialogueSettings.checked(base | changes, "dialogue")


def content(count: int) -> str:
    pair = {"answer": "The FAZ is round.", "kind": "diagnosis", "quadrant": None, "findings": []}
    return json.dumps({"pairs": [pair | {"question": f"Question {'x' * i}?"} for i in range(count)]})


class Server(chat_server.ChatServer):
    """Answers each request with as many pairs as its schema asks for, or as planned."""

    plan: tuple[str, ...] = ()

    def chat(self, handler: object, body: dict) -> None:
        shape = body["response_format"]["json_schema"]["schema"]["properties"]["pairs"]
        self.content["ok"] = content(shape["minItems"])
        super().chat(handler, body)

    def action(self, messages: list[dict]) -> str:
        with self.lock:
            turn = self.seen["all"]
            self.seen["all"] += 1
        return self.plan[turn] if turn < len(self.plan) else "ok"
