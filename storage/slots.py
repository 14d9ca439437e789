"""What is known of one segment, as compact as it was recorded.

An origin knows of a million copies and is asked about some hundred of them, those at the live edge. So a copy
is kept as the text of its record, a third of what its objects take, and is read when somebody asks.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from selection.model import Candidate, Choice
from storage.records import DEFECTS_WORD, Chosen, Published, Record, decode

_PIPELINE_AT: Final = 6  # among the words of `published`
_SIZE_AT: Final = 8
_COPY_SEQUENCE_AT: Final = 7  # among the words of `chosen`


class Answers(NamedTuple):
    """What a slot says, read."""

    candidates: tuple[Candidate, ...] = ()
    choice: Choice | None = None


NOTHING: Final = Answers()


class Slot:
    """The records in force of one segment or init segment, as texts.

    Args:
        copies: One a pipeline, in the order of their records.
        choice: The choice in force, or None.
        replaced: The copy that is chosen, if its pipeline has replaced it since. Readers may still get it.
    """

    __slots__ = ("choice", "copies", "replaced")

    def __init__(self) -> None:
        self.copies: tuple[str, ...] = ()
        self.choice: str | None = None
        self.replaced: str | None = None

    # Each change returns the copies of which no record in force speaks any more.

    def publish(self, text: str, pipeline_id: str) -> Sequence[str]:
        """Take in a copy, in place of its pipeline's former one."""
        former = self.copy_of(pipeline_id) if self.copies else None
        if former is None:
            self.copies = (*self.copies, text)
            return ()
        self.copies = (*(copy for copy in self.copies if copy is not former), text)
        if self.choice is not None and is_at(former, _chosen_sequence(self.choice)):
            self.replaced = former
            return ()
        return (former,)

    def restore(self, text: str, pipeline_id: str) -> Sequence[str]:
        """Take in a copy that is not here, but was kept before some of those that are."""
        former = self.copy_of(pipeline_id)
        if former is None or sequence_of(former) < sequence_of(text):
            dropped = self.publish(text, pipeline_id)
            self.copies = tuple(sorted(self.copies, key=sequence_of))
            return dropped
        # A copy that was replaced is kept for one reason: it is the one chosen, as the record after it will say.
        dropped = () if self.replaced is None else (self.replaced,)
        self.choice, self.replaced = None, text
        return dropped

    def choose(self, text: str, copy_sequence: str) -> tuple[bool, Sequence[str]]:
        """Take in a choice. The first part tells whether its copy is there; if not, nothing is chosen any more."""
        if self.replaced is None and self.copies and is_at(self.copies[-1], copy_sequence):  # nearly always
            self.choice = text
            return True, ()
        chosen = self.copy_at(copy_sequence)
        dropped = () if self.replaced is None or self.replaced is chosen else (self.replaced,)
        self.choice = None if chosen is None else text
        self.replaced = self.replaced if self.replaced is chosen else None
        return chosen is not None, dropped

    def withdraw(self) -> Sequence[str]:
        """Take the choice back."""
        dropped = () if self.replaced is None else (self.replaced,)
        self.choice = self.replaced = None
        return dropped

    def lose(self, sequence: str) -> tuple[bool, Sequence[str]]:
        """Forget the copy at a place in the journal. The first part tells whether it was the one chosen."""
        lost = self.copy_at(sequence)
        if lost is None:
            return False, ()
        was_chosen = self.choice is not None and _chosen_sequence(self.choice) == sequence
        if was_chosen:
            self.choice = None
        if lost is self.replaced:
            self.replaced = None
        self.copies = tuple(copy for copy in self.copies if copy is not lost)
        if self.replaced is not None and _pipeline_of(self.replaced) == _pipeline_of(lost):
            self.copies = tuple(sorted((self.replaced, *self.copies), key=sequence_of))
            self.replaced = None  # by nothing any more
        return was_chosen, (lost,)

    def is_undecided(self, *, is_init: bool) -> bool:
        """Tell whether there are copies and no choice, or a copy that came after the choice and may move it.

        For a segment the rules let only a less flawed copy do that, or a renewal by the chosen pipeline. With two
        pipelines a copy comes after nearly every choice, and nearly none is flawed.
        """
        if self.choice is None or not self.copies:
            return bool(self.copies)
        if sequence_of(self.copies[-1]) < sequence_of(self.choice):
            return False
        if is_init or self.replaced is not None:
            return True
        chosen = self.copy_at(_chosen_sequence(self.choice))
        return chosen is None or DEFECTS_WORD in chosen

    @property
    def kept(self) -> tuple[str, ...]:
        """All copies whose bodies may be asked for."""
        return self.copies if self.replaced is None else (self.replaced, *self.copies)

    def copy_of(self, pipeline_id: str) -> str | None:
        """Return a pipeline's copy."""
        for copy in self.copies:
            if _pipeline_of(copy) == pipeline_id:
                return copy
        return None

    def copy_at(self, sequence: str) -> str | None:
        """Return the copy that was recorded at a place in the journal."""
        return next((copy for copy in self.kept if is_at(copy, sequence)), None)

    def read(self, former: Answers = NOTHING, record: Record | None = None) -> Answers:
        """Return what the texts say.

        A record that a newer version wrote in a way that this one cannot read is passed over.

        Args:
            former: What they said before the last change, or nothing at all.
            record: What that change is, if it has been read.
        """
        if self.replaced is None:  # nearly always one copy more, or the choice of one that has been read
            if isinstance(record, Published) and self._has_one_more(former, record.candidate):
                return Answers((*former.candidates, record.candidate), former.choice)
            if isinstance(record, Chosen):
                for copy in former.candidates:
                    if copy.sequence == record.copy_sequence:
                        return Answers(former.candidates, record.choice(copy))
        return self._read(former, record)

    def _has_one_more(self, former: Answers, copy: Candidate) -> bool:
        """Tell whether the copies are those that were read before, and behind them `copy`."""
        if len(self.copies) != len(former.candidates) + 1:
            return False
        return all(other.pipeline_id != copy.pipeline_id for other in former.candidates)

    def _read(self, former: Answers, record: Record | None) -> Answers:
        known = {copy.sequence: copy for copy in former.candidates}
        if former.choice is not None:
            known[former.choice.candidate.sequence] = former.choice.candidate
        if isinstance(record, Published):
            known[record.candidate.sequence] = record.candidate
        for text in self.kept:
            sequence = sequence_of(text)
            if sequence not in known:
                _read_copy(text, sequence, known)
        candidates = tuple(known[sequence] for sequence in map(sequence_of, self.copies) if sequence in known)
        if self.choice is None:
            return Answers(candidates)
        chosen = record if isinstance(record, Chosen) else _read_choice(self.choice)
        return Answers(candidates, _choice_of(chosen, known))


def is_at(text: str, sequence: str) -> bool:
    """Tell whether a record has this place in the journal."""
    return text.startswith(sequence) and text[len(sequence)] == " "


def sequence_of(text: str) -> int:
    """Return the place of a record in the journal."""
    return int(text[: text.index(" ")])


def size_of(text: str) -> int:
    """Return the size of the body that a copy's text speaks of, in bytes."""
    return int(text.split(" ", _SIZE_AT + 1)[_SIZE_AT])


def _pipeline_of(text: str) -> str:
    return text.split(" ", _PIPELINE_AT + 1)[_PIPELINE_AT]


def _chosen_sequence(text: str) -> str:
    return text.split(" ", _COPY_SEQUENCE_AT + 1)[_COPY_SEQUENCE_AT]


def _read_copy(text: str, sequence: int, known: dict[int, Candidate]) -> None:
    try:
        record = decode(text).record
    except ValueError:
        return
    if isinstance(record, Published):
        known[sequence] = record.candidate


def _read_choice(text: str) -> Chosen | None:
    try:
        record = decode(text).record
    except ValueError:
        return None
    return record if isinstance(record, Chosen) else None


def _choice_of(record: Chosen | None, known: dict[int, Candidate]) -> Choice | None:
    if record is None or record.copy_sequence not in known:
        return None
    return record.choice(known[record.copy_sequence])
