"""The configuration file: YAML text to plain values, with the line of everything.

PyYAML's own loading is not used, because it takes the last of two equal keys silently and follows YAML 1.1:
`no` (Norwegian) would be false, 12:30:00 a number, 010 eight, and a time zone would be lost. Here scalars are
those of YAML 1.2: null, true and false, whole numbers in decimal; everything else is text.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from config.problems import Location, Problem, SettingError, key_path

_TAG: Final = "tag:yaml.org,2002:"
_MERGE_KEY: Final = "<<"
# A thousand events fit well. Anchors used again and again would otherwise grow a short file without end.
VALUES_MAX: Final = 100_000


class _Loader(yaml.SafeLoader):
    """Composes nodes; only its scalar rules differ from PyYAML's."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # the stubs say instance variable


# Digits are bounded: int() refuses thousands of them, and no setting has more than 15.
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"[-+]?[0-9]{1,18}\Z"), list("-+0123456789"))
_RESOLVER: Final = _Loader("")

# Key and value of each entry of a section.
_Entries = dict[str, tuple[yaml.ScalarNode, yaml.Node]]


@dataclass
class Document:
    """A file's content.

    Args:
        tree: Its values: dicts, lists and scalars, nowhere shared.
        lines: Where each of them stands, from 1.
        problems: What is wrong with the text itself.
        doubtful: Locations whose value is not what was meant, so that nothing follows from it.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    doubtful: set[Location] = field(default_factory=set)


def read_document(path: Path) -> Document:
    """Return the content of a file; one that cannot be read is a document with a problem."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        return _unreadable(Problem("", f"cannot be read: {exc.strerror}", "check its name and its permissions"))
    except UnicodeDecodeError as exc:
        return _unreadable(Problem("", f"is not UTF-8 text (byte {exc.start})", "save it as UTF-8"))
    return parse_document(text)


def parse_document(text: str) -> Document:
    """Return the content of YAML text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        return _Reader().read(node)
    except yaml.MarkedYAMLError as exc:
        return _unreadable(_syntax_problem(exc))
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        problem = Problem("", f"has a control character (code {exc.character})", "take it out", f"line {line}", line)
        return _unreadable(problem)
    except RecursionError:
        return _unreadable(Problem("", "is nested too deeply", "see the examples for its shape"))
    except SettingError as exc:
        return _unreadable(Problem("", exc.message, exc.remedy))


def parse_scalar(text: str) -> Any:
    """Return the value that a file would have with this text behind a key.

    Only a scalar: `[::1]:8081` is an address here, not a list. Quotes work as in YAML.

    Raises:
        SettingError: Quotes that do not close.

    >>> [parse_scalar(text) for text in ("8s", "20000", "true", "'0'", "[::1]:8081", "")]
    ['8s', 20000, True, '0', '[::1]:8081', None]
    """
    if text[:1] not in ("'", '"'):
        return _plain(_implicit_tag(text), text)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise SettingError(f"{text} is not a quoted text", "close the quotes, or write it without") from exc
    if not isinstance(node, yaml.ScalarNode):
        raise SettingError(f"{text} is not a single value", "quote all of it, or nothing")
    return node.value


def _plain(tag: str, text: str) -> Any:
    match tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case _:
            return text


def _unreadable(problem: Problem) -> Document:
    return Document(problems=[problem], doubtful={()})


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    assert mark is not None, "the composer marks every error"
    return Problem(
        "",
        f"is not YAML at column {mark.column + 1}: {error.problem or error.context}",
        "check this line and the one above: indent with spaces, close quotes and brackets, put text with ': ' or"
        " ' #' into quotes",
        f"line {mark.line + 1}",
        mark.line + 1,
    )


class _Reader:
    """Turns nodes into values, noting lines and what is wrong on the way."""

    def __init__(self) -> None:
        self._document = Document()
        self._open: list[yaml.Node] = []  # from the root to the node being read
        self._values_count = 0

    def read(self, root: yaml.Node | None) -> Document:
        if root is None or root.tag == f"{_TAG}null":
            return self._document
        if not isinstance(root, yaml.MappingNode):
            self._complain((), root, "is not a section of keys", "write keys such as listen: and events:")
            self._document.doubtful.add(())
            return self._document
        self._document.tree = self._mapping(root, ())
        return self._document

    def _complain(self, location: Location, node: yaml.Node, message: str, remedy: str) -> None:
        line = node.start_mark.line + 1
        self._document.problems.append(Problem(key_path(location), message, remedy, f"line {line}", line))

    def _value(self, node: yaml.Node, location: Location) -> Any:
        self._values_count += 1
        if self._values_count > VALUES_MAX:
            raise SettingError(f"has more than {VALUES_MAX} values", "use fewer anchors and events")
        self._document.lines[location] = node.start_mark.line + 1
        if any(node is ancestor for ancestor in self._open):
            self._complain(location, node, "contains itself", "write it out instead of using *")
            self._document.doubtful.add(location)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        self._open.append(node)
        values = [self._value(entry, (*location, index)) for index, entry in enumerate(node.value)]
        self._open.pop()
        return values

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        if node.tag not in (_implicit_tag(node.value), f"{_TAG}str"):
            self._complain(location, node, f"has the tag {node.tag}", "take the tag out")
            self._document.doubtful.add(location)
            return None
        return _plain(node.tag, node.value)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        self._open.append(node)
        values: dict[str, Any] = {}
        for name, (key, value) in self._entries(node, location).items():
            values[name] = self._value(value, (*location, name))
            self._document.lines[(*location, name)] = key.start_mark.line + 1
        self._open.pop()
        return values

    def _entries(self, node: yaml.MappingNode, location: Location) -> _Entries:
        own: _Entries = {}
        merged: _Entries = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._complain(location, key, "has a key that is not a single word", "write key: value")
            elif key.value == _MERGE_KEY:
                self._merge(value, (*location, _MERGE_KEY), merged)
            elif key.value in own:
                first_line = own[key.value][0].start_mark.line + 1
                place = (*location, key.value)
                self._complain(place, key, f"is there twice, first in line {first_line}", "keep one of them")
                self._document.doubtful.add(place)
            else:
                own[key.value] = (key, value)
        return merged | own

    def _merge(self, value: yaml.Node, location: Location, merged: _Entries) -> None:
        """Add the entries behind `<<: *anchor` or `<<: [*one, *two]`; what comes first wins."""
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode) or any(source is ancestor for ancestor in self._open):
                self._complain(location, value, "can only take in another section", "write <<: *name, with &name there")
                continue
            self._open.append(source)
            for name, entry in self._entries(source, location).items():
                merged.setdefault(name, entry)
            self._open.pop()


def _implicit_tag(text: str) -> str:
    """Return the tag that an unquoted scalar has by its looks."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag
