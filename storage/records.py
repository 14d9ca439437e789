"""The records of the journal and their text.

A record says one thing that happened. Together they are the whole truth: folding them in order gives the
catalog, on this node after a restart, in a worker, or on a second node.

A record is one line of ASCII, made to be read by people and to be folded without being understood in full. It
begins with words parted by one space each: its place in the journal, its moment in ms, its type, and what it is
about. JSON with all else stands behind them, and is not looked at before somebody asks for it:

    17 1764000000123 published derby v720 882000000 a 0123456789abcdef0123456789abcdef 1048576 {"received_ms":...}
    18 1764000000123 chosen derby v720 882000000 a 17 {"rule":"first-in-order","decided_ms":1764000000123}

Words are ids of the configuration, which hold no space, numbers, and digests. A copy is known by its pipeline and
by the place of its own record, which is why a choice does not repeat it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, assert_never

from selection.model import Candidate, Choice, Loss, Mask, Moment, Rule, SegmentKey
from storage.fields import choice_text, copy_text, defects_of, dumps, facts_of, loads, losses_of, mask_fields, mask_of

INIT: Final = "init"  # stands for the number of an init segment
ALL: Final = "all"  # stands for the number of a bucket
DEFECTS_WORD: Final = '"defects"'  # is in the text of a copy that has any: JSON in a string has no bare quotes


@dataclass(frozen=True, slots=True)
class Manifest:
    """One pipeline's copy of one of its own manifests.

    Args:
        digest: 32 hex digits, as for a candidate: the ETag and the body's address.
        published_ms, sequence: When its record was written, and that record's place in the journal.
    """

    pipeline_id: str
    digest: str
    size_bytes: int
    published_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Published:
    """A candidate became readable; it takes the place of the same pipeline's former copy.

    `published_ms` and `sequence` of the candidate are the moment of this record.
    """

    key: SegmentKey
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice was made, or made anew.

    Args:
        pipeline_id, copy_sequence: The copy that was chosen, by the place of its record in the journal.
        rule, decided_ms, losses: As in `selection.model.Choice`.
    """

    key: SegmentKey
    pipeline_id: str
    copy_sequence: int
    rule: Rule
    decided_ms: int
    losses: tuple[tuple[str, Loss], ...] = ()

    @classmethod
    def of(cls, key: SegmentKey, choice: Choice) -> Self:
        """Return the record of a choice."""
        copy = choice.candidate
        return cls(key, copy.pipeline_id, copy.sequence, choice.rule, choice.decided_ms, choice.losses)

    def choice(self, candidate: Candidate) -> Choice:
        """Return the choice, given the copy that it speaks of."""
        return Choice(candidate, self.rule, self.decided_ms, self.losses)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A choice was taken back with nothing to put in its place."""

    key: SegmentKey


@dataclass(frozen=True, slots=True)
class Lost:
    """The body of a copy is not there or not intact: the copy does not exist any more, nor a choice of it.

    Args:
        sequence: The place of the copy's own record.
    """

    key: SegmentKey
    pipeline_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Masked:
    """An operator left a pipeline's range out of selection."""

    event_id: str
    mask: Mask


@dataclass(frozen=True, slots=True)
class Unmasked:
    """An operator lifted a mask."""

    event_id: str
    mask_id: str


@dataclass(frozen=True, slots=True)
class ManifestPublished:
    """A packager renewed one of its manifests.

    `published_ms` and `sequence` of the manifest are the moment of this record.
    """

    event_id: str
    name: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Collected:
    """What nobody may ask for any more is gone for good.

    Args:
        bucket: The segments of this time bucket (`storage.base.bucket_of`); None for all of the event, with its
            init segments, manifests and masks.
    """

    event_id: str
    bucket: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What was recorded at `moment` is in force: said again, so that the record of then can be dropped.

    It is no news. It tells those who missed the record of then, and nothing to anybody else.
    """

    record: "Published | Chosen | Lost | Masked | ManifestPublished"
    moment: Moment


Record = Published | Chosen | Withdrawn | Lost | Masked | Unmasked | ManifestPublished | Collected | Standing


class Entry:
    """A record with its place in the journal.

    Made of a record or of a text; the record of a text is made when somebody asks for it, which in a replay is
    hardly ever: that is what makes a replay fast.

    Args:
        words: The words of the text: its place, its moment, its type, and what it is about. JSON, if there is any,
            is the rest of the text and may be the last of them or be broken into several.
        kind: The type of the record, as the text has it.
        number: The number of the segment that the record is about; None for init segments, and for other records.
    """

    __slots__ = ("_record", "kind", "number", "sequence", "text", "words")

    def __init__(self, moment: Moment, record: Record) -> None:
        self._record: Record | None = record
        self._read_words(encode(moment, record))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Return the entry of a text, which is not read further than its words.

        Raises:
            ValueError: Not such a text; also for a record type that a newer version may have written.
        """
        self = cls.__new__(cls)
        self._record = None
        self._read_words(text)
        return self

    def _read_words(self, text: str) -> None:
        self.text = text
        self.words = words = text.split(" ", WORDS_MAX)
        self.kind = kind = words[2] if len(words) > 2 else ""
        count, number_at, amount_at = _SHAPES.get(kind, _NO_SHAPE)
        if len(words) < count or not words[amount_at].isdecimal():
            raise ValueError("not the words of a journal record")
        self.sequence = int(words[0])
        self.number = None if not number_at or words[number_at] == INIT else int(words[number_at])

    @property
    def moment(self) -> Moment:
        """When it was recorded. Raises ValueError for a text that no journal wrote."""
        return Moment(int(self.words[1]), self.sequence)

    @property
    def key(self) -> SegmentKey:
        """What a record of a segment or init segment is about."""
        return SegmentKey(self.words[3], self.words[4], self.number)

    @property
    def is_read(self) -> bool:
        """Whether the record is there already."""
        return self._record is not None

    @property
    def record(self) -> Record:
        """The record. Raises ValueError if its JSON is not what this version writes, or an older one wrote."""
        if self._record is None:
            try:
                self._record = _READERS[self.kind](self)
            except (KeyError, TypeError, AttributeError, IndexError) as exc:
                raise ValueError(f"not a journal record: {exc!r}") from exc
        return self._record

    def rest(self, words_count: int) -> str:
        """Return the text behind so many words."""
        return self.text.split(" ", words_count)[words_count]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Entry({self.text!r})"


def encode(moment: Moment, record: Record) -> str:
    """Return the text of a record: one line of ASCII, without its line end."""
    match record:
        case Published(key, copy):
            assert (copy.published_ms, copy.sequence) == moment, "a copy is published when its record is written"
            about = f"published {_words(key)} {_word(copy.pipeline_id)} {_word(copy.digest)} {copy.size_bytes}"
            text = f"{about} {copy_text(copy)}"
        case Chosen(key, pipeline_id, copy_sequence, rule, decided_ms, losses):
            rest = choice_text(rule, decided_ms, losses)
            text = f"chosen {_words(key)} {_word(pipeline_id)} {copy_sequence} {rest}"
        case Withdrawn(key):
            text = f"withdrawn {_words(key)}"
        case Lost(key, pipeline_id, sequence):
            text = f"lost {_words(key)} {_word(pipeline_id)} {sequence}"
        case Masked(event_id, mask):
            text = f"masked {_word(event_id)} {dumps(mask_fields(mask))}"
        case Unmasked(event_id, mask_id):
            text = f"unmasked {_word(event_id)} {dumps({'mask_id': mask_id})}"
        case ManifestPublished(event_id, name, copy):
            assert (copy.published_ms, copy.sequence) == moment, "a copy is published when its record is written"
            about = f"manifest {_word(event_id)} {_word(copy.pipeline_id)} {_word(copy.digest)} {copy.size_bytes}"
            text = f"{about} {manifest_name(name)}"
        case Collected(event_id, bucket):
            text = f"collected {_word(event_id)} {ALL if bucket is None else bucket}"
        case Standing(standing, then):
            text = f"standing {encode(then, standing)}"
        case _:
            assert_never(record)
    return f"{moment.sequence} {moment.ms} {text}"


def decode(text: str) -> Entry:
    """Return the entry of a text written by `encode`, its record read later. Raises ValueError as `Entry.of_text`."""
    return Entry.of_text(text)


def manifest_name(name: str) -> str:
    """Return a manifest's name as it stands in its text: as JSON, since names may hold anything."""
    return dumps({"name": name})


def copy_words(entry: Entry) -> tuple[str, str, int]:
    """Return pipeline, digest and size of the body that a `published` entry is about."""
    _, _, _, _, _, _, pipeline_id, digest, size_bytes, _ = entry.words
    return pipeline_id, digest, int(size_bytes)


def copy_address(text: str) -> tuple[str, str]:
    """Return pipeline and digest of the copy that a `published` text is about, at a third of the cost of its entry."""
    words = text.split(" ", 8)
    return words[6], words[7]


def _words(key: SegmentKey) -> str:
    number = INIT if key.number is None else key.number
    return f"{_word(key.event_id)} {_word(key.rendition_id)} {number}"


def _word(text: str) -> str:
    """Return an id as it is. The configuration allows none that would end the word, or the line."""
    assert text and text.isascii() and text.isprintable() and " " not in text, f"{text!r} is not one word"
    return text


def _read_published(entry: Entry) -> Published:
    pipeline_id, digest, size_bytes = copy_words(entry)
    fields = loads(entry.rest(9))
    copy = Candidate(
        pipeline_id=pipeline_id,
        digest=digest,
        size_bytes=size_bytes,
        published_ms=entry.moment.ms,
        sequence=entry.sequence,
        received_ms=fields["received_ms"],
        defects=defects_of(fields),
        score=fields.get("score"),
        facts=facts_of(fields),
    )
    return Published(entry.key, copy)


def _read_chosen(entry: Entry) -> Chosen:
    fields = loads(entry.rest(8))
    pipeline_id, copy_sequence = entry.words[6], int(entry.words[7])
    rule, decided_ms = Rule(fields["rule"]), fields["decided_ms"]
    return Chosen(entry.key, pipeline_id, copy_sequence, rule, decided_ms, losses_of(fields))


def _read_manifest(entry: Entry) -> ManifestPublished:
    _, _, _, event_id, pipeline_id, digest, size_bytes = entry.words[:7]
    moment = entry.moment
    copy = Manifest(pipeline_id, digest, int(size_bytes), moment.ms, moment.sequence)
    return ManifestPublished(event_id, loads(entry.rest(7))["name"], copy)


def _read_standing(entry: Entry) -> Standing:
    then = decode(entry.rest(3))
    record = then.record
    if not isinstance(record, Published | Chosen | Lost | Masked | ManifestPublished):
        raise ValueError(f"{then.kind!r} cannot stand")
    return Standing(record, then.moment)


_READERS: Final[dict[str, Callable[[Entry], Record]]] = {
    "published": _read_published,
    "chosen": _read_chosen,
    "withdrawn": lambda entry: Withdrawn(entry.key),
    "lost": lambda entry: Lost(entry.key, entry.words[6], int(entry.words[7])),
    "masked": lambda entry: Masked(entry.words[3], mask_of(loads(entry.rest(4)))),
    "unmasked": lambda entry: Unmasked(entry.words[3], loads(entry.rest(4))["mask_id"]),
    "manifest": _read_manifest,
    "collected": lambda entry: Collected(entry.words[3], None if entry.words[4] == ALL else int(entry.words[4])),
    "standing": _read_standing,
}

# Of each type: how many words there are at least, JSON counted as one; which of them is the number of a segment;
# and which is an amount that is added up or looked for before the record is read.
WORDS_MAX: Final = 9
_SHAPES: Final[dict[str, tuple[int, int, int]]] = {
    "published": (10, 5, 8),
    "chosen": (9, 5, 7),
    "withdrawn": (6, 5, 0),
    "lost": (8, 5, 7),
    "masked": (5, 0, 0),
    "unmasked": (5, 0, 0),
    "manifest": (8, 0, 6),
    "collected": (5, 0, 0),
    "standing": (7, 0, 3),
}
_NO_SHAPE: Final = (100, 0, 0)
