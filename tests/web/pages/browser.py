"""A real browser, headless Chromium, spoken to over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect

from parlex.local.locks import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 30.0
# Also what a standard does not ask for and good practice does.
_AXE = "axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(found.violations))"


def found() -> str | None:
    """Where this machine has a Chromium; None where it has none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab. ``asked``: the addresses that it asked for; ``told``: what its console said that is wrong."""

    def __init__(self, link: ClientConnection) -> None:
        self._link, self._last = link, 0
        self.asked: list[str] = []
        self.told: list[str] = []
        self._loaded, self._downloaded = 0, False
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        number = self._last
        self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._link.recv(timeout=SECONDS))
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Browser.downloadProgress" if message["params"]["state"] == "completed":
                self._downloaded = True
            case "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            case "Log.entryAdded":
                self.told.append(message["params"]["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.told.append(json.dumps(message["params"]))
        return message

    def open(self, address: str) -> None:
        before = self._loaded
        self.send("Page.navigate", url=address)
        self._wait(before)

    def _wait(self, before: int) -> None:
        while self._loaded == before:
            self._receive()

    def size(self, width: int, height: int = 900) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def without_scripts(self) -> None:
        self.send("Emulation.setScriptExecutionDisabled", value=True)

    def evaluate(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @property
    def address(self) -> str:
        history = self.send("Page.getNavigationHistory")
        return str(history["entries"][history["currentIndex"]]["url"])

    def _node(self, selector: str) -> int:
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node: int = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"{self.address} has no {selector}"
        return node

    def text(self, selector: str = "main") -> str:
        """What is inside an element, as HTML: asked of the document, so that it works without scripts."""
        return str(self.send("DOM.getOuterHTML", nodeId=self._node(selector))["outerHTML"])

    def click(self, selector: str) -> None:
        """Follow a link or press a button with the mouse, and wait for the page that comes."""
        before = self._loaded
        self._press(selector)
        self._wait(before)

    def _press(self, selector: str) -> None:
        node = self._node(selector)
        self.send("DOM.scrollIntoViewIfNeeded", nodeId=node)
        x1, y1, x2, _, _, y3, *_ = self.send("DOM.getContentQuads", nodeId=node)["quads"][0]
        place = {"x": (x1 + x2) / 2, "y": (y1 + y3) / 2, "button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mousePressed", **place)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def type(self, selector: str, text: str) -> None:
        self.send("DOM.focus", nodeId=self._node(selector))
        for letter in text:
            self.send("Input.dispatchKeyEvent", type="char", text=letter)

    def choose(self, selector: str, day: str) -> None:
        """Fill in a field for a day as a person does: month, day and year, digit by digit, as this browser asks."""
        year, month, number = day.split("-")
        self.type(selector, f"{month}{number}{year}")

    def download(self, selector: str) -> str:
        """Click what leads to a file, and give what is in it."""
        with TemporaryDirectory() as folder:
            self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder, eventsEnabled=True)
            self._press(selector)
            while not self._downloaded:
                self._receive()
            (file,) = Path(folder).iterdir()
            return file.read_text(encoding="utf-8-sig")

    def violations(self) -> list[str]:
        """What axe finds wrong with the page."""
        self.evaluate(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])})"
            for one in json.loads(self.evaluate(_AXE))
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def picture(self) -> bytes:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 8000), "scale": 1}
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it would be printed, on letter paper."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=False)["data"])

    def foreign(self, host: str) -> list[str]:
        """What was asked of other hosts."""
        return [each for each in self.asked if urlsplit(each).scheme != "data" and urlsplit(each).netloc != host]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a tab of its own, and nothing kept of it."""
    program = found()
    assert program is not None
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-extensions", "--hide-scrollbars", "--lang=en-US"]
        command = [program, *options, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = Path(folder) / "DevToolsActivePort"
        try:
            assert wait_until(lambda: port.exists() and bool(port.read_text().strip()), SECONDS), "no browser"
            base = f"http://127.0.0.1:{port.read_text().split()[0]}"
            tab = httpx.put(f"{base}/json/new?about:blank", timeout=SECONDS).raise_for_status().json()
            with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as link:
                yield Browser(link)
        finally:
            process.terminate()
            process.wait(SECONDS)
