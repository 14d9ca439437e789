"""Private names of aiohttp stand in `origin/aiohttp_inside.py` and nowhere else; no name of ours is one by accident.

Found by reading the sources: aiohttp's, for its private names; ours, for their use. A name with an underscore that a
class of ours defines for itself is its own, unless the class is derived from one of aiohttp's.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import MemberDescriptorType
from typing import Any, Final

import pytest
from aiohttp import StreamReader, http_parser, http_writer, web

from origin import aiohttp_inside, receive, turnout
from origin.aiohttp_inside import InsideProtocol, InsideRequest, InsideServer

ORIGIN: Final = Path(aiohttp_inside.__file__).parent
INSIDE: Final = "aiohttp_inside.py"
LIBRARY: Final = (
    web.RequestHandler,
    web.Server,
    web.BaseRequest,
    web.Response,
    StreamReader,
    http_writer.StreamWriter,
    http_parser.HttpRequestParserPy,
)
BY_NAME: Final = ("getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller")

# What subclasses redefine on purpose: asyncio's names, and those of aiohttp that are in its documentation or its tests.
OVERRIDES: Final = {
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "handle_error",
    "finish_response",
    "shutdown",
}


def self_stores(tree: ast.AST) -> Iterator[str]:
    """Yield what is assigned to attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def defined_in(node: ast.ClassDef) -> set[str]:
    """Return the names that a class has of its own: slots, attributes, methods.

    >>> sorted(defined_in(ast.parse("class A:\\n  __slots__ = ('_a',)\\n  _b: int = 1\\n  def _c(self): ...").body[0]))
    ['__slots__', '_a', '_b', '_c']
    """
    names = set(self_stores(node))
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(each.name)
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
            if any(isinstance(target, ast.Name) and target.id == "__slots__" for target in targets):
                names |= set(ast.literal_eval(each.value)) if each.value is not None else set()
    return names


def class_of(cls: type) -> ast.ClassDef:
    """Return the source of a class."""
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


@cache
def library_names(cls: type) -> frozenset[str]:
    """Return all names of a class of aiohttp."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("aiohttp.")]
    return frozenset().union(*(defined_in(class_of(base)) for base in bases))


@cache
def private_names() -> frozenset[str]:
    """Return the private names of aiohttp that could be leaned on."""
    names = frozenset().union(*(library_names(cls) for cls in LIBRARY))
    return frozenset(name for name in names if name.startswith("_") and not name.startswith("__"))


def derived_from_aiohttp(trees: list[ast.Module]) -> set[str]:
    """Return the names of the classes that have a class of aiohttp among their bases, however far."""
    known = {cls.__name__ for cls in LIBRARY}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        found = {node.name for node in classes if any(ast.unparse(base).split(".")[-1] in known for base in node.bases)}
        if found <= known:
            return known
        known |= found


class Leanings(ast.NodeVisitor):
    """Collects where a module leans on a private name of aiohttp, as `line: name`."""

    def __init__(self, derived: set[str]) -> None:
        self.found: list[str] = []
        self._derived = derived
        self._own: set[str] = set()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, own = self._own, defined_in(node)
        if node.name in self._derived:
            self.found += [f"{node.lineno}: {name}" for name in sorted(own & private_names())]
            own = set()
        self._own = own
        self.generic_visit(node)
        self._own = outer

    def visit_Attribute(self, node: ast.Attribute) -> None:
        is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") and node.attr in self._own
        if node.attr in private_names() and not is_own:
            self.found.append(f"{node.lineno}: {node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).split(".")[-1] in BY_NAME:
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            self.found += [f"{node.lineno}: {name}" for name in names if name in private_names()]
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.split(".")[0] == "aiohttp":
            parts = [*module.split("."), *(alias.name for alias in node.names)]
            self.found += [f"{node.lineno}: {part}" for part in parts if part.startswith("_")]


def leanings(tree: ast.Module, derived: set[str]) -> list[str]:
    visitor = Leanings(derived)
    visitor.visit(tree)
    return visitor.found


def test_no_other_module_leans_on_a_private_name_of_aiohttp() -> None:
    trees = {path: ast.parse(path.read_text()) for path in sorted(ORIGIN.rglob("*.py"))}
    derived = derived_from_aiohttp(list(trees.values()))
    assert {"LaneProtocol", "UploadProtocol", "OriginProtocol", "UploadServer"} <= derived
    found = {path.relative_to(ORIGIN).as_posix(): leanings(tree, derived) for path, tree in trees.items()}
    assert found.pop(INSIDE), "where they all are"
    assert {path: names for path, names in found.items() if names} == {}, f"they belong into {INSIDE}"


LEANING: Final = [
    ("read", "class A(web.RequestHandler):\n  def f(self): return self._waiter", ["2: _waiter"]),
    ("written", "class A(InsideProtocol):\n  def f(self): self._close = 1", ["1: _close", "2: _close"]),
    (
        "called",
        "class A(B):\n  def f(self): super()._process_keepalive()\nclass B(Server): ...",
        ["2: _process_keepalive"],
    ),
    ("overridden", "class A(web.BaseRequest):\n  def _cancel(self): ...", ["1: _cancel"]),
    ("a-slot", "class A(InsideProtocol):\n  __slots__ = ('_manager',)", ["1: _manager"]),
    ("of-another-object", "def f(request): request.protocol._lingering_time = 1", ["1: _lingering_time"]),
    ("of-the-parser", "def f(parser): return parser._tail", ["1: _tail"]),
    ("by-its-name", "getattr(parser, '_lines', ())", ["1: _lines"]),
    ("imported", "from aiohttp.web_protocol import _ErrInfo", ["1: _ErrInfo"]),
    ("from-a-private-module", "from aiohttp._http_parser import HttpRequestParser", ["1: _http_parser"]),
    ("own-name", "class A:\n  def __init__(self): self._loop = self._parser = 1\n  def f(self): self._parser()", []),
    ("own-method", "class A:\n  def _cancel(self): self._cancel()", []),
    ("own-name-of-another-class", "class A:\n  _loop = 1\nclass B:\n  def f(self): self._loop()", ["4: _loop"]),
    ("public", "class A(InsideProtocol):\n  def f(self): return self.transport", []),
]


@pytest.mark.parametrize(("text", "found"), [case[1:] for case in LEANING], ids=[case[0] for case in LEANING])
def test_a_leaning_is_seen(text: str, found: list[str]) -> None:
    tree = ast.parse(text)
    inside = ast.parse((ORIGIN / INSIDE).read_text())
    assert leanings(tree, derived_from_aiohttp([inside, tree])) == found


def ours(cls: type) -> Iterator[type]:
    """Yield the classes of ours that are derived from one of aiohttp's."""
    subclasses: list[type] = cls.__subclasses__()
    for derived in subclasses:
        if derived.__module__.startswith("origin."):
            yield derived
        yield from ours(derived)


@pytest.mark.parametrize("library", [web.RequestHandler, web.Server, web.BaseRequest])
def test_no_name_of_ours_is_one_of_aiohttps_by_accident(library: Any) -> None:
    """A library that takes a name which we have would be called into, or have its state overwritten."""
    found = {cls.__name__: defined_in(class_of(cls)) & library_names(library) for cls in ours(library)}
    expected = (
        {InsideProtocol, turnout.LaneProtocol, receive.UploadProtocol} if library is web.RequestHandler else set()
    )
    assert {cls.__name__ for cls in expected} <= set(found)
    meant = {
        InsideProtocol.__name__: {"_process_keepalive", "_make_error_handler", "_parser", "_keepalive_handle"}
        | {"_request_count", "_next_keepalive_close_time"},
        InsideRequest.__name__: {"_cancel"},
    }
    dunder = {"__slots__", "__init__", "__call__", "transport"}
    surplus = {name: names - OVERRIDES - dunder - meant.get(name, set()) for name, names in found.items()}
    assert {name: names for name, names in surplus.items() if names} == {}


SLOTS: Final = {
    "loop": "_loop",
    "queued": "_messages",
    "heads_count": "_request_count",
    "is_writing_paused": "_paused",
}


def test_a_slot_under_our_name_is_the_same_slot_and_costs_no_call() -> None:
    """Were it a property, each request would pay for it; were it a plain class attribute, all connections share it."""
    aliases = {name: each for name, each in vars(InsideProtocol).items() if isinstance(each, MemberDescriptorType)}
    assert aliases == {name: getattr(web.RequestHandler, private) for name, private in SLOTS.items()}


def test_the_classes_that_the_rules_are_about_are_the_ones_in_use() -> None:
    assert issubclass(turnout.LaneProtocol, InsideProtocol)
    assert issubclass(receive.UploadProtocol, InsideProtocol)
    assert issubclass(receive.UploadServer, InsideServer)
