"""Pages in a browser of their own, and pictures of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"

expect.set_options(timeout=20_000)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="Europe/Paris"
    )
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Page, str], Path]:
    """``shot(page, "panel")`` keeps a picture below build/screenshots, numbered in order."""
    folder = SCREENSHOTS / re.sub(r"\W+", "-", request.node.name).removeprefix("test_")
    shutil.rmtree(folder, ignore_errors=True)
    taken: list[Path] = []

    def take(page: Page, name: str) -> Path:
        path = folder / f"{len(taken) + 1:02}-{name}.png"
        page.screenshot(path=path)
        taken.append(path)
        return path

    return take
