"""A headless Chromium, driven through its own protocol over two pipes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
from typing import Any, Optional

# Debian's and others' names of it.
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_TIMEOUT_S = 60.0


class Browser:
    """One browser with one page. What the page throws or asks of a network is kept in `errors` and `requests`."""

    def __init__(self, folder: str, width: int = 1300, height: int = 800) -> None:
        assert PROGRAM is not None
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        command = [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--hide-scrollbars",
            f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        # It reads from descriptor 3 and writes to 4.
        pipes = f'exec "$@" 3</proc/self/fd/{to_browser} 4>/proc/self/fd/{from_browser}'
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["sh", "-c", pipes, "sh", *command],
            pass_fds=(to_browser, from_browser),
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": folder, "LANG": "C.UTF-8", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._numbers = itertools.count(1)
        self._data = b""
        self._session: Optional[str] = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self.resize(width, height)

    def close(self) -> None:
        """Ends it."""
        self._session = None
        try:
            self._call("Browser.close")
            self._process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, file: pathlib.Path, fragment: str = "") -> None:
        """Shows a page, and waits until it has drawn."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=file.absolute().as_uri() + (f"#{fragment}" if fragment else ""))
        deadline = time.monotonic() + _TIMEOUT_S
        failed = "(document.getElementById('status') || {textContent: ''}).textContent.startsWith('This page')"
        ready = f"typeof app === 'object' || {failed}"
        while not self.run(ready):
            if time.monotonic() > deadline:
                raise AssertionError(f"the page is not ready: {self.errors}")
            time.sleep(0.05)
        self.drawn()

    def resize(self, width: int, height: int) -> None:
        """Gives the window another size."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def drawn(self) -> None:
        """Waits for the next frame."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def run(self, expression: str) -> Any:
        """Value of a JavaScript expression; of what it promises, where it does."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A real event of the mouse: mouseMoved, mousePressed, mouseReleased or mouseWheel."""
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        """Moves there and clicks."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.drawn()

    def key(self, key: str) -> None:
        """Presses a key."""
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.drawn()

    def screenshot(self, path: str) -> None:
        """Writes what there is to see, as PNG."""
        pathlib.Path(path).write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            answer = self._next(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._data:
            if not select.select([self._from], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise AssertionError("the browser does not answer")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise AssertionError(f"the browser has ended with {self._process.wait()}")
            self._data += part
        text, _, self._data = self._data.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details.get("text", "")))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
