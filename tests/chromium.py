"""A headless Chromium, driven through a pipe: a reader's browser, and what it complains of.

The protocol is Chromium's own (chromedevtools.github.io/devtools-protocol), of which a pipe needs
nothing but JSON. `--remote-debugging-pipe` reads from descriptor 3 and writes to 4.
"""

import base64
import json
import os
import select
import subprocess
import time

FLAGS = (
    "--headless",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1600,1000",
    "--remote-debugging-pipe",
)
MOST = 60  # seconds that an answer may take, on a busy machine


class BrowserError(RuntimeError):
    """The browser did not do what it was asked."""


class Page:
    """One page in a browser of its own; `complaints` has its errors, of scripts and of the console.

    What a page asks of the network is a complaint as well: a report has all that it needs.
    """

    def __init__(self, executable, profile):
        to_browser, from_browser = os.pipe(), os.pipe()
        self.complaints, self.events, self.number, self.rest = [], [], 0, b""
        self.session, self.out, self.into = "", from_browser[0], to_browser[1]
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # descriptors 3 and 4 are what the shell makes of those that are passed on
        shell = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_browser[0], from_browser[1]),
            stdout=subprocess.DEVNULL,
            stderr=(profile / "chromium.log").open("w"),
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        (page,) = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The answer to one request."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, url):
        """Go there, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self._receive()

    def run(self, script):
        """The value of a JavaScript expression, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(f"{script}: {found['exceptionDetails']['exception']['description']}")
        return found["result"].get("value")

    def until(self, script):
        """The value of an expression, once it is not nothing."""
        end = time.monotonic() + MOST
        while not (found := self.run(script)):
            if time.monotonic() > end:
                raise BrowserError(f"waited in vain for {script}")
            time.sleep(0.05)
        return found

    def screenshot(self, path):
        """What a reader sees, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self):
        """End the browser."""
        self.process.terminate()
        self.process.wait(MOST)
        os.close(self.into)
        os.close(self.out)

    def _receive(self):
        while b"\0" not in self.rest:
            if not select.select([self.out], [], [], MOST)[0]:
                raise BrowserError(f"no answer for {MOST} s")
            if not (part := os.read(self.out, 1 << 20)):
                raise BrowserError("the browser has ended")
            self.rest += part
        text, _, self.rest = self.rest.partition(b"\0")
        message = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event, params):
        self.events.append(event)
        if event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", "")
            self.complaints.append(f"{details['text']} {thrown}")
        if event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            shown = [str(a.get("value", a.get("description"))) for a in params["args"]]
            self.complaints.append(" ".join(shown))
        if event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
        if event == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:", "about:")):
                self.complaints.append(f"asks the network for {url}")
