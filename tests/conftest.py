"""What tests share: one real tree of parts per worker, one browser per module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import browsers
import pytest
from playwright.sync_api import Browser
from trees import Tree, start_tree, stop_tree

pytest_plugins = ["stores"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker what shares something dear: a tree, or the fixtures of a module."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "chromium" in fixtures:
            item.add_marker(pytest.mark.browser)
        if "tree" in fixtures:
            item.add_marker(pytest.mark.tree)
            item.add_marker(pytest.mark.xdist_group("tree"))
        elif not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The tree that tests share. They may add users and jobs, and never stop a part."""
    folder = tmp_path_factory.mktemp("tree")
    running = start_tree(folder)
    yield running
    stop_tree(running)
    shutil.rmtree(folder, ignore_errors=True)


# Of a module and not of the session: while Playwright is open its event loop
# counts as running in this thread, and no asynchronous test could be run.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if browsers.PROGRAM is None:
        pytest.skip(browsers.MISSING)
    with browsers.chromium() as running:
        yield running
