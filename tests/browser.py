"""A page in headless Chromium, for tests of what a person sees. Nothing leaves this machine."""

import contextlib
import shutil

import pytest

PATH = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"]


@contextlib.contextmanager
def chromium():
    """A browser; skips the test where there is none."""
    if PATH is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright: pip install playwright")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=PATH, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def page(browser, file, width=1400, height=900, scheme="light"):
    """A file, opened. Fails at the end if the page said an error or asked for anything but itself."""
    tab, said = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme), []
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url) if not request.url.startswith("data:") else None)
    tab.goto(file.as_uri())
    yield tab
    tab.close()
    assert said == [file.as_uri()]
