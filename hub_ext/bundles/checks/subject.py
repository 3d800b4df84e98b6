"""What a check looks at, prepared once for all of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hub_ext.bundles.magics import Magic, magics, without_magics
from hub_ext.bundles.parameters import source_of, tags_of
from hub_ext.bundles.spec import Finding, KernelRef


@dataclass(frozen=True)
class Cell:
    """A cell of the notebook.

    Attributes:
        index: in the notebook, from 0.
        kind: ``code``, ``markdown`` or ``raw``.
    """

    index: int
    kind: str
    source: str = field(repr=False)
    tags: tuple[str, ...] = ()
    outputs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def place(self) -> str:
        """As people count: ``cell 3``."""
        return f"cell {self.index + 1}"

    @cached_property
    def python(self) -> ast.Module | SyntaxError:
        """The cell as Python, magics left out; the error where it is none."""
        try:
            # As IPython compiles it: `await` may stand at the top level.
            tree = compile(
                without_magics(self.source),
                "<cell>",
                "exec",
                flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
        except SyntaxError as error:
            return error
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            return SyntaxError(str(error) or "too deeply nested")
        assert isinstance(tree, ast.Module)
        return tree

    def nodes(self) -> Iterator[ast.AST]:
        """Every node of the syntax tree; none where the cell is no Python."""
        if isinstance(self.python, ast.Module):
            yield from ast.walk(self.python)

    @cached_property
    def magics(self) -> list[Magic]:
        return magics(self.source)


@dataclass(frozen=True)
class Subject:
    """A notebook under examination.

    Attributes:
        files: contents of the files that go into the bundle, by name.
        python: version of the kernel's Python, where it is known.
        interpreter_known: whether the kernel's environment can be captured.
    """

    notebook: Mapping[str, Any] = field(repr=False)
    notebook_name: str
    kernel: KernelRef
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    python: str = ""
    interpreter_known: bool = True

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(
            Cell(
                index=index,
                kind=cell["cell_type"],
                source=source_of(cell),
                tags=tuple(map(str, tags_of(cell))),
                outputs=tuple(cell.get("outputs", ())),
            )
            for index, cell in enumerate(self.notebook["cells"])
        )

    @property
    def code(self) -> Iterator[Cell]:
        """The cells that a run executes."""
        return (
            cell for cell in self.cells if cell.kind == "code" and "skip-execution" not in cell.tags
        )

    @property
    def is_python(self) -> bool:
        return self.kernel.language == "python"


Check = Callable[[Subject], Iterable[Finding]]

registered: list[Check] = []


def check(function: Check) -> Check:
    """Mark a function as a check."""
    registered.append(function)
    return function
