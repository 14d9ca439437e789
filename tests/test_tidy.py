"""The house rules, enforced by reading every file of the tree.

A rule is a function from one file to the breaches in it, so each is shown to bite: `REFUSED` holds a
small bad file for every one of them, `ACCEPTED` what looks like a breach and is none. Patterns are
spelled with a one-letter class (`[x]`), so that this file does not breach them itself.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

# What each package may import of the project, beside itself. Never the other way round.
MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    "origin": ("config", "storage", "selection"),
    "storage": ("selection.model",),
    "config": ("selection.model",),
    "selection": (),
    "loadtests": (),
    "tests": ("config", "loadtests", "origin", "selection", "storage"),
}

# All that selection/ may import from outside: nothing here has a clock, a file, a socket, a log or a loop.
PURE_LIBRARIES: Final = frozenset(
    [
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "fractions",
        "functools",
        "itertools",
        "math",
        "re",
        "struct",
        "typing",
    ]
)
IMPURE_BUILTINS: Final = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})

# HTTP and the event loop stay at the edge; tests may use them to look at the edge from outside.
EDGE_LIBRARIES: Final = frozenset({"aiohttp", "prometheus_client", "uvloop"})
EDGE_PACKAGES: Final = frozenset({"origin", "tests"})

# The target is 300. Over this, a module has two duties.
MODULE_LINES_MAX: Final = 400

SKIPPING: Final = re.compile(
    r"(?:pytest|unittest)\.(?:mark\.)?(?:skip\w*|xfail|importorskip|expectedFailure)|.*\.skipTest"
)
UNFINISHED: Final = re.compile(r"\b(?:TO[D]O|FI[X]ME|X[X]X)\b")
PACKAGE_INDEXES: Final = re.compile(
    r"pyp[i]\b|pythonhoste[d]|npmj[s]|crate[s]\.io|de[b]\.debian|ftp\.debia[n]|conda\.anacond[a]|proxy\.golan[g]",
    re.IGNORECASE,
)
LOCAL_PATHS: Final = re.compile(r"(?<![\w.~}])/(?:wor[k]|roo[t]|op[t])/|\.\./share[d]\b")


@dataclass(frozen=True)
class Source:
    """A text file of the tree; `path` is relative to the root, with `/`."""

    path: str
    text: str

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.split("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed module."""
        return ast.parse(self.text, self.path)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything imported, inside functions too; `from a import b` is `a.b`.

    >>> list(imports(Source("x.py", "import os.path as p, re\\nfrom a.b import c, d")))
    [(1, 'os.path'), (1, 're'), (2, 'a.b.c'), (2, 'a.b.d')]
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def imports_against_the_direction(source: Source) -> Iterator[str]:
    """Imports of the project's own packages that `MAY_IMPORT` does not list, and relative ones."""
    if source.package not in MAY_IMPORT:
        return
    allowed = (source.package, *MAY_IMPORT[source.package])
    for line, name in imports(source):
        ours = name.startswith(".") or name.split(".")[0] in MAY_IMPORT
        if ours and not any(name == prefix or name.startswith(prefix + ".") for prefix in allowed):
            yield f"{source.path}:{line}: {source.package} may import {', '.join(allowed)}, not {name}"


def impurities_in_selection(source: Source) -> Iterator[str]:
    """Libraries, builtins and syntax by which a pure decision would touch the world."""
    if source.package != "selection":
        return
    for line, name in imports(source):
        if name.split(".")[0] not in PURE_LIBRARIES | {"selection"}:
            yield f"{source.path}:{line}: selection stays pure and does not import {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield f"{source.path}:{node.lineno}: selection does not await"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS:
            yield f"{source.path}:{node.lineno}: selection stays pure and does not call {node.func.id}"


def edge_libraries_inside(source: Source) -> Iterator[str]:
    """HTTP, metrics and the event loop, imported elsewhere than at the edge."""
    if source.package in EDGE_PACKAGES:
        return
    for line, name in imports(source):
        if name.split(".")[0] in EDGE_LIBRARIES:
            yield f"{source.path}:{line}: only origin imports {name}"


def code_in_package_docstring_files(source: Source) -> Iterator[str]:
    """An `__init__.py` with anything but a docstring, or without one."""
    if source.path.endswith("__init__.py") and not (len(source.tree.body) == 1 and ast.get_docstring(source.tree)):
        yield f"{source.path}: holds a docstring that states the package's rule, and nothing else"


def missing_module_docstrings(source: Source) -> Iterator[str]:
    """A module that does not say what it is for."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path}: begins with a docstring"


def overlong_modules(source: Source) -> Iterator[str]:
    """A module with more lines than one duty needs."""
    lines = len(source.text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{source.path}: has {lines} lines, at most {MODULE_LINES_MAX} are allowed; split it by duty"


def skips_and_expected_failures(source: Source) -> Iterator[str]:
    """Skips and expected failures. What a test needs is installed; what fails is mended."""
    for line, name in imports(source):
        if SKIPPING.fullmatch(name):
            yield f"{source.path}:{line}: {name}: every test runs"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and SKIPPING.fullmatch(ast.unparse(node)):
            yield f"{source.path}:{node.lineno}: {ast.unparse(node)}: every test runs"


def pattern_rule(pattern: re.Pattern[str], reason: str) -> Callable[[Source], Iterator[str]]:
    """Return the rule that no line of a file matches `pattern`."""

    def breaches(source: Source) -> Iterator[str]:
        for number, line in enumerate(source.text.splitlines(), start=1):
            if match := pattern.search(line):
                yield f"{source.path}:{number}: {match[0]!r}: {reason}"

    return breaches


@dataclass(frozen=True)
class Rule:
    """One rule; `sentence` is the test's name."""

    sentence: str
    breaches: Callable[[Source], Iterator[str]]
    applies_to: str = "*.py"


DIRECTION: Final = Rule("imports-follow-the-one-direction", imports_against_the_direction)
PURITY: Final = Rule("selection-touches-nothing-outside-itself", impurities_in_selection)
EDGE: Final = Rule("only-origin-imports-http-metrics-and-loop", edge_libraries_inside)
INIT: Final = Rule("a-package-file-holds-only-its-docstring", code_in_package_docstring_files)
DOCSTRING: Final = Rule("a-module-says-what-it-is-for", missing_module_docstrings)
LENGTH: Final = Rule("a-module-has-one-duty", overlong_modules)
SKIP: Final = Rule("no-test-is-skipped-or-expected-to-fail", skips_and_expected_failures)
MARKER: Final = Rule("nothing-is-left-for-later", pattern_rule(UNFINISHED, "finish it, or file it"), "*")
INDEX: Final = Rule("no-package-index-is-named", pattern_rule(PACKAGE_INDEXES, "pip and apt know where"), "*")
PATH: Final = Rule("no-path-of-one-machine-is-named", pattern_rule(LOCAL_PATHS, "exists on one machine only"), "*")
RULES: Final = (DIRECTION, PURITY, EDGE, INIT, DOCSTRING, LENGTH, SKIP, MARKER, INDEX, PATH)


def files_below(folder: Path, ignored: tuple[str, ...]) -> Iterator[Path]:
    """Yield every file that version control would take, without asking it."""
    for entry in sorted(folder.iterdir()):
        relative = f"/{entry.relative_to(ROOT).as_posix()}"
        if any(fnmatch(relative if pattern.startswith("/") else entry.name, pattern) for pattern in ignored):
            continue
        if entry.is_dir():
            yield from files_below(entry, ignored)
        else:
            yield entry


@cache
def sources() -> tuple[Source, ...]:
    """Return every text file of the tree."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    ignored = (".git", *(line.rstrip("/") for line in lines if line and not line.startswith("#")))
    found = []
    for path in files_below(ROOT, ignored):
        content = path.read_bytes()
        if b"\0" not in content:
            found.append(Source(path.relative_to(ROOT).as_posix(), content.decode()))
    return tuple(found)


def by_sentence(rule: Rule) -> str:
    return rule.sentence


@pytest.mark.parametrize("rule", RULES, ids=by_sentence)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    breaches = [
        breach for source in sources() if fnmatch(source.path, rule.applies_to) for breach in rule.breaches(source)
    ]
    assert not breaches, "\n".join(["", *breaches])


def test_the_rules_see_every_package_and_the_files_beside_them() -> None:
    packages = {source.package for source in sources() if source.path.endswith("/__init__.py")}
    assert packages == set(MAY_IMPORT)
    assert {"Makefile", "pyproject.toml", ".ci/run", "requirements.lock"} <= {source.path for source in sources()}


REFUSED: Final = [
    ("storage-imports-the-edge", DIRECTION, "storage/a.py", "from origin.app import run"),
    ("storage-imports-a-rule", DIRECTION, "storage/a.py", "from selection.decide import decide"),
    ("storage-imports-a-rule-by-its-package", DIRECTION, "storage/a.py", "from selection import decide"),
    ("storage-imports-all-of-selection", DIRECTION, "storage/a.py", "import selection"),
    ("config-imports-storage", DIRECTION, "config/a.py", "def f():\n    import storage.base"),
    ("selection-imports-config", DIRECTION, "selection/a.py", "from config.model import Settings"),
    ("loadtests-import-our-arithmetic", DIRECTION, "loadtests/a.py", "from selection.timeline import Timeline"),
    ("origin-imports-tests", DIRECTION, "origin/a.py", "import tests.support"),
    ("relative-import", DIRECTION, "origin/a.py", "from . import app"),
    *(
        (f"selection-imports-{name}", PURITY, "selection/a.py", f"import {name}")
        for name in ("asyncio", "time", "random", "os", "pathlib", "logging", "socket", "datetime")
    ),
    ("selection-opens-a-file", PURITY, "selection/a.py", "text = open('a').read()"),
    ("selection-awaits", PURITY, "selection/a.py", "async def f(): ..."),
    ("selection-imports-aiohttp", PURITY, "selection/a.py", "from aiohttp import web"),
    ("storage-imports-aiohttp", EDGE, "storage/a.py", "import aiohttp.web"),
    ("config-imports-metrics", EDGE, "config/a.py", "from prometheus_client import Counter"),
    ("loadtests-import-uvloop", EDGE, "loadtests/a.py", "import uvloop"),
    ("package-file-with-code", INIT, "origin/__init__.py", '"""The edge."""\nVERSION = 1'),
    ("package-file-that-is-empty", INIT, "origin/__init__.py", ""),
    ("module-without-docstring", DOCSTRING, "origin/a.py", "VERSION = 1"),
    ("module-of-401-lines", LENGTH, "origin/a.py", "\n" * 401),
    ("skip-mark", SKIP, "tests/a.py", "@pytest.mark.skip(reason='slow')\ndef test(): ..."),
    ("skip-if-mark", SKIP, "tests/a.py", "pytestmark = [pytest.mark.skipif(True, reason='')]"),
    ("skip-call", SKIP, "tests/a.py", "def test():\n    pytest.skip('no ffmpeg')"),
    ("skip-by-import", SKIP, "tests/a.py", "numpy = pytest.importorskip('numpy')"),
    ("skip-imported-by-name", SKIP, "tests/a.py", "from pytest import skip"),
    ("skip-by-unittest", SKIP, "tests/a.py", "self.skipTest('slow')"),
    ("expected-failure", SKIP, "tests/a.py", "@pytest.mark.xfail\ndef test(): ..."),
    ("unfinished", MARKER, "Makefile", "# TO" + "DO: later"),
    ("broken-and-left", MARKER, "origin/a.py", "# FIX" + "ME"),
    ("marked", MARKER, "README.md", "(XX" + "X)"),
    ("python-index", INDEX, "requirements.lock", "--index-url https://Py" + "PI.org/simple"),
    ("python-file-host", INDEX, "requirements.lock", "https://files.python" + "hosted.org/a.whl"),
    ("debian-mirror", INDEX, "Dockerfile", "http://deb." + "debian.org"),
    ("work-tree", PATH, "README.md", "see /wor" + "k/main"),
    ("home-of-root", PATH, ".ci/run", "cd /roo" + "t/x"),
    ("find-links", PATH, "requirements.lock", "--find-links file:///op" + "t/wheels"),
    ("neighbour-of-the-tree", PATH, "README.md", "see ../sha" + "red/design.md"),
]

ACCEPTED: Final = [
    ("storage-imports-the-model", DIRECTION, "storage/a.py", "from selection.model import Event\nimport storage.base"),
    ("storage-imports-the-model-by-its-package", DIRECTION, "storage/a.py", "from selection import model"),
    (
        "origin-imports-all-below",
        DIRECTION,
        "origin/a.py",
        "import config.load, storage.base, selection.decide",
    ),
    ("tests-import-everything", DIRECTION, "tests/a.py", "import origin.app, loadtests.locustfile, tests.support"),
    ("namesake-of-a-package", DIRECTION, "config/a.py", "import storage3"),
    (
        "selection-imports-itself",
        PURITY,
        "selection/a.py",
        "from collections.abc import Set\nimport selection.model",
    ),
    ("selection-has-a-method-open", PURITY, "selection/a.py", "gate.open()"),
    ("storage-opens-a-file", PURITY, "storage/a.py", "import os\nopen('a')"),
    ("origin-imports-aiohttp", EDGE, "origin/a.py", "from aiohttp import web"),
    ("package-file-with-docstring", INIT, "origin/__init__.py", '"""The edge."""'),
    ("module-of-400-lines", LENGTH, "origin/a.py", "\n" * 400),
    ("something-else-that-skips", SKIP, "origin/a.py", "reader.skip(8)"),
    ("letters-within-a-word", MARKER, "origin/a.py", "mkdtemp('XXXX" + "XX')"),
    ("another-python", INDEX, "requirements.lock", "implementation_name == 'pypy'"),
    ("path-of-a-url", PATH, "README.md", "https://example.com/wor" + "k/"),
]


@pytest.mark.parametrize(("rule", "path", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_bad_file_is_refused(rule: Rule, path: str, text: str) -> None:
    assert fnmatch(path, rule.applies_to)
    breaches = list(rule.breaches(Source(path, text)))
    assert len(breaches) == 1
    assert breaches[0].startswith(path)


@pytest.mark.parametrize(("rule", "path", "text"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_a_good_file_is_accepted(rule: Rule, path: str, text: str) -> None:
    assert list(rule.breaches(Source(path, text))) == []


def test_every_rule_is_shown_to_refuse_something() -> None:
    assert {rule for _, rule, _, _ in REFUSED} == set(RULES)
