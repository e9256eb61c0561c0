"""A real browser that looks at TensorBoard: headless Chromium, driven over its DevTools protocol."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT = 60  # seconds, for anything to show up on a page

# It looks for nothing on the network, and draws 3D (the projector's points) on the processor.
OPTIONS = (
    "--headless",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--remote-debugging-port=0",
)

# All elements and all text of a page, whatever shadow trees and frames they are in.
DEEP = """
window.deepElements = (root = document) => [...root.querySelectorAll('*')].flatMap(element => [element,
    ...(element.shadowRoot ? deepElements(element.shadowRoot) : []),
    ...(element.contentDocument ? deepElements(element.contentDocument) : [])]);
window.deepFind = selector => deepElements().filter(element => element.matches(selector));
window.deepText = () => deepElements().filter(element => !['style', 'script'].includes(element.localName))
    .flatMap(element => [...element.childNodes]).filter(node => node.nodeType === Node.TEXT_NODE)
    .map(node => node.data.trim()).filter(text => text).join('\\n');
"""


def find_chromium() -> str | None:
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


class Page:
    """A page of the browser."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, suppress_origin=True, timeout=TIMEOUT)
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a method of the DevTools protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, which may use `deepFind(selector)` and `deepText()`."""
        result = self.call("Runtime.evaluate", expression=f"{DEEP}; {script}", returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The expression's value, once it is true."""
        deadline = time.monotonic() + TIMEOUT
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {TIMEOUT} s: {script}\n{self.run('deepText()')}")
            time.sleep(0.2)
        return value

    def open(self, address: str) -> None:
        self.call("Page.navigate", url="about:blank")  # else a change behind the # alone would load nothing
        self.call("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address[:20])})")

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, file: Path) -> None:
        """What is seen of the page, as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browse(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page in a browser of its own. RuntimeError where there is no Chromium."""
    chromium = find_chromium()
    if chromium is None:
        raise RuntimeError(f"None of {', '.join(CHROMIUM)} is installed: apt-get install chromium")
    as_root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *OPTIONS, *as_root, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            page = Page(_first_page(Path(profile, "DevToolsActivePort"), process))
            page.resize(width, height)
            yield page
            page.close()
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _first_page(port_file: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + TIMEOUT
    while not (port_file.exists() and port_file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Chromium did not start (exit code {process.poll()})")
        time.sleep(0.1)
    port = port_file.read_text().splitlines()[0]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = json.load(answer)
    address: str = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
    return address


@contextmanager
def tensorboard(directory: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows what lies in `directory`."""
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(directory),
        "--port",
        "0",
        "--host",
        "localhost",
    ]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
        try:
            yield _address(output, process)
        finally:
            process.terminate()
            process.wait(TIMEOUT)


def _address(output: Any, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + TIMEOUT
    while True:
        output.seek(0)
        said = output.read()
        if found := re.search(r"http://localhost:\d+/", said):
            return found.group()
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"TensorBoard did not start: {said}")
        time.sleep(0.1)
