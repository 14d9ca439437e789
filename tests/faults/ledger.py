"""What packagers sent and what they were told, kept apart from the origin, to judge it by after a crash.

Each copy is in one of these states. `KEPT`: the origin has acknowledged it, or has shown it since. `LOST`: it was
sent to its last byte, but the crash came before the answer; it may be there or not, but not come and go. `CUT`: the
origin cannot have all of it, so nothing of it may be seen. `REFUSED`: it was told so.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

# What may be declared of a copy here, and how much it hurts; at most one a copy.
SEVERITY: Final = {None: 0, "odd": 1, "short": 2, "slate": 5}
DIGEST_HEX_LENGTH: Final = 32
INIT: Final = "init"
MANIFEST: Final = "manifest"


class Target(NamedTuple):
    """What can be published. `name` is a number, `INIT`, or of a manifest (rendition `MANIFEST`) its name."""

    rendition: str
    name: str

    @property
    def is_manifest(self) -> bool:
        return self.rendition == MANIFEST

    @property
    def path(self) -> str:
        """Its name below the event, or below a pipeline of it."""
        if self.is_manifest:
            return self.name
        return f"{self.rendition}/{'init.mp4' if self.name == INIT else f'{self.name}.m4s'}"


class Fate(StrEnum):
    """What has become of an upload, as far as its packager knows."""

    KEPT = "kept"
    LOST = "lost"
    CUT = "cut"
    REFUSED = "refused"


@dataclass(frozen=True)
class Copy:
    """One body. It is made anew from its seed when it is needed."""

    target: Target
    pipeline: str
    seed: int
    size_bytes: int
    defect: str | None = None
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", etag_of(self.body))

    @property
    def body(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size_bytes)

    @property
    def file_name(self) -> str:
        """What its file is called."""
        digest = self.etag.strip('"')
        if self.target.is_manifest:
            return f"{etag_of(self.target.name.encode()).strip(chr(34))}~{self.pipeline}~{digest}"
        return f"{self.target.rendition}~{self.target.name}~{self.pipeline}~{digest}"


class Told(NamedTuple):
    """A choice somebody was told of. The answer to a PUT names only the pipeline if it is another one's copy."""

    pipeline: str
    etag: str | None


def etag_of(body: bytes) -> str:
    """Return the ETag a body must have.

    >>> etag_of(b"")
    '"e3b0c44298fc1c149afbf4c8996fb924"'
    """
    return f'"{hashlib.sha256(body).hexdigest()[:DIGEST_HEX_LENGTH]}"'


@dataclass
class _Line:
    """What is known of one pipeline's copies of one target: the newest one kept, and what may have followed it."""

    kept: Copy | None = None
    lost: list[Copy] = field(default_factory=list)

    @property
    def possible(self) -> list[Copy]:
        return [*self.lost, *([] if self.kept is None else [self.kept])]


class Ledger:
    """The packagers' and the readers' side of the truth.

    `counts` counts what happened, `breaches` holds a sentence for every promise that was not kept.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []
        self._lines: dict[tuple[Target, str], _Line] = {}
        self._told: dict[Target, set[Told]] = {}
        self._severities: dict[tuple[Target, str, str], int] = {}

    # -- While the origin runs

    def note(self, copy: Copy, fate: Fate) -> None:
        """Take down how an upload ended. Uploads of one target by one pipeline come one after the other."""
        self.counts["uploads"] += 1
        self.counts[f"uploads {fate.value}"] += 1
        line = self._lines.setdefault((copy.target, copy.pipeline), _Line())
        if fate is Fate.KEPT:
            line.kept, line.lost = copy, []
        elif fate is Fate.LOST:
            line.lost.append(copy)
        self._severities[copy.target, copy.pipeline, copy.etag] = SEVERITY[copy.defect]

    def tell(self, target: Target, told: Told) -> None:
        """Take down a choice somebody was told of."""
        self.counts["choices told"] += 1
        self._told.setdefault(target, set()).add(told)

    def breach(self, sentence: str) -> None:
        """Take down a promise that was not kept; each once."""
        if sentence not in self.breaches:
            self.breaches.append(sentence)

    def kept(self, target: Target, pipeline: str) -> Copy | None:
        """Return the copy that was acknowledged last."""
        line = self._lines.get((target, pipeline))
        return None if line is None else line.kept

    def is_chosen(self, target: Target) -> bool:
        """Tell whether anybody was told of a choice."""
        return target in self._told

    @property
    def targets(self) -> list[Target]:
        """Everything of which a copy may be there, in order."""
        return sorted({target for (target, _), line in self._lines.items() if line.possible})

    @property
    def chosen(self) -> list[Copy]:
        """Return the copies that are known to be chosen, in order."""
        found = []
        for target, all_told in sorted(self._told.items()):
            copies = [copy for pipeline in ("a", "b") if (copy := self.kept(target, pipeline)) is not None]
            found += [copy for copy in copies if all_told == {Told(copy.pipeline, copy.etag)}]
        return found

    # -- After a restart

    def judge(self, target: Target, explanation: Mapping[str, Any]) -> None:
        """Compare what the origin says of a segment or an init segment with what was promised."""
        copies = {each["pipeline"]: each for each in explanation["candidates"]}
        for pipeline in ("a", "b"):
            self._judge_copy(target, pipeline, copies.pop(pipeline, None))
        for pipeline in copies:
            self.breach(f"{target.path}: a copy of {pipeline}, who does not exist")
        choice = explanation["choice"]
        if choice is None:
            if explanation["candidates"] or self._told.get(target):
                self.breach(f"{target.path}: told {self._told.get(target)}, now nothing is chosen")
            return
        self._judge_choice(target, Told(choice["pipeline"], choice["etag"]), choice["rule"])

    def _judge_copy(self, target: Target, pipeline: str, copy: Mapping[str, Any] | None) -> None:
        line = self._lines.setdefault((target, pipeline), _Line())
        name = f"{target.path} of {pipeline}"
        if copy is None:
            if line.kept is not None:
                self.breach(f"{name}: acknowledged {line.kept.etag} is gone")
        else:
            found = next((each for each in line.possible if each.etag == copy["etag"]), None)
            if found is None:
                self.breach(f"{name}: {copy['etag']} is there, which was not sent whole, or was replaced")
                return
            said = [defect["name"] for defect in copy["defects"]]
            if copy["bytes"] != found.size_bytes or said != ([found.defect] if found.defect else []):
                self.breach(f"{name}: is told with {copy['bytes']} bytes and {said}, sent as {found}")
            if found is not line.kept:
                self.counts["recorded, answer lost"] += 1
                line.kept = found
            self.counts["copies checked"] += 1
        line.lost = []

    def _judge_choice(self, target: Target, now: Told, rule: str) -> None:
        self.counts["choices checked"] += 1
        for before in self._told.get(target, ()):
            same = before.pipeline == now.pipeline and before.etag in (None, now.etag)
            if same or self._may_follow(target, before, now, rule):
                continue
            self.breach(f"{target.path}: {before} was told, now it is {now} by rule {rule}")
        self._told[target] = {now}

    def _may_follow(self, target: Target, before: Told, now: Told, rule: str) -> bool:
        """Tell whether a choice may have taken the place of one that was told."""
        if rule == "renewed":
            return target.name == INIT and before.pipeline == now.pipeline
        if rule != "upgrade":
            return False
        if before.etag is None:
            return True
        return self._severity(target, now) < self._severity(target, before)

    def _severity(self, target: Target, told: Told) -> int:
        return self._severities.get((target, told.pipeline, str(told.etag)), 0)

    def judge_delivery(self, target: Target, status: int, told: Told, body: bytes) -> None:
        """Compare what was delivered with what was sent and with the choice that is known."""
        self.counts["deliveries checked"] += 1
        if status != 200:
            self.breach(f"{target.path}: answered {status}")
        elif etag_of(body) != told.etag:
            self.breach(f"{target.path}: the body is not that of its ETag {told.etag}")
        elif target.is_manifest:
            self._judge_manifest(target, told)
        elif told not in self._told.get(target, {told}):
            self.breach(f"{target.path}: {told} delivered, {self._told[target]} chosen")

    def _judge_manifest(self, target: Target, told: Told) -> None:
        line = self._lines.get((target, told.pipeline), _Line())
        found = next((copy for copy in line.possible if copy.etag == told.etag), None)
        if found is None:
            self.breach(f"{target.path} of {told.pipeline}: {told.etag} is delivered, which was not sent, or replaced")
        elif found is not line.kept:
            self.counts["recorded, answer lost"] += 1
            line.kept, line.lost = found, []

    def leftovers(self, names: set[str]) -> Iterator[str]:
        """Yield what is wrong with the files on disk: every copy has its file, every file its copy."""
        for line in self._lines.values():
            possible = {copy.file_name for copy in line.possible}
            there = possible & names
            if line.kept is not None and not there:
                yield f"no file: {line.kept.file_name}"
            names = names - possible
        yield from (f"no record: {name}" for name in sorted(names))
