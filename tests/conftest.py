"""What tests share: one real tree of parts per worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from trees import Tree, start_tree, stop_tree


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one shared tree stay on one worker: a second tree would be started for nothing."""
    for item in items:
        if "tree" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.tree)
            item.add_marker(pytest.mark.xdist_group("tree"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """The tree that tests share. They may add users and jobs, and never stop a part."""
    folder = tmp_path_factory.mktemp("tree")
    running = start_tree(folder)
    yield running
    stop_tree(running)
    shutil.rmtree(folder, ignore_errors=True)
