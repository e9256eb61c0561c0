"""A server on the loopback interface that behaves, or misbehaves, as a test sets it up."""

import hashlib
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


class Server(ThreadingHTTPServer):
    """Serves `content`, of which each answer holds at most `most` bytes of the body that it announces."""

    daemon_threads = True
    content = CONTENT
    most = len(CONTENT)
    ranges = True
    announces = True
    status = 200
    location = ""
    kind = "application/zip"
    delay = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str | None] = []  # the Range of each
        self.url = f"http://127.0.0.1:{self.server_port}/set.zip"

    def handle_error(self, request: object, client_address: object) -> None:
        """Does nothing: some tests hang up in the middle of an answer."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.headers["Range"])
        time.sleep(server.delay)
        start = 0
        if self.path == "/elsewhere" or server.status == 200:
            if server.ranges and self.headers["Range"]:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
        else:
            self.send_response(server.status)
            self.send_header("Location", server.location)
        body = server.content[start:]
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Type", server.kind)
        if server.announces:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.most])

    def log_message(self, format: str, *args: object) -> None:
        pass
