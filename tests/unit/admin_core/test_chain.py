"""The hash chain finds whatever is done to an audit log after it was written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from loyalnest.admin_core.chain import Check, Head, Problem, Row, hash_of

AT = datetime(2026, 5, 1, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FIELDS = st.dictionaries(WORDS, WORDS, max_size=2)
ENTRIES = st.lists(
    st.builds(
        Row,
        merchant_id=st.just("acme"),
        sequence=st.just(0),
        event_id=st.uuids(),
        at=st.datetimes(timezones=st.just(UTC)),
        actor=WORDS,
        role=WORDS,
        action=WORDS,
        subject=WORDS,
        before=FIELDS,
        after=FIELDS,
        subjects=st.lists(st.uuids(), max_size=2).map(tuple),
        sealed=st.binary(max_size=8),
    ),
    min_size=1,
    max_size=8,
)
Chain = list[tuple[Row, bytes]]


def written(entries: list[Row]) -> Chain:
    """The chain that these entries make."""
    chain: Chain = []
    head = Head()
    for entry in entries:
        row = replace(entry, sequence=head.sequence + 1)
        head = Head(row.sequence, hash_of(row, head.hash))
        chain.append((row, head.hash))
    return chain


def end_of(chain: Chain) -> Head:
    return Head(chain[-1][0].sequence, chain[-1][1]) if chain else Head()


def problems(chain: Chain, head: Head, anchor: Head | None = None, page: int = 3) -> list[Problem]:
    check = Check(anchor)
    for start in range(0, len(chain), page):
        check.follow(chain[start : start + page])
    check.finish(head)
    return check.problems


@given(ENTRIES, st.integers(1, 9))
def test_what_was_written_is_proven(entries: list[Row], page: int) -> None:
    chain = written(entries)
    for anchor in (None, *(Head(row.sequence, stored) for row, stored in chain)):
        assert problems(chain, end_of(chain), anchor, page) == []


@given(ENTRIES, st.data())
def test_a_changed_entry_is_found(entries: list[Row], data: st.DataObject) -> None:
    chain = written(entries)
    place = data.draw(st.integers(0, len(chain) - 1))
    row, stored = chain[place]
    change = data.draw(
        st.sampled_from(
            [
                {"actor": row.actor + "x"},
                {"role": row.role + "x"},
                {"action": row.action + "x"},
                {"subject": row.subject + "x"},
                {"before": row.before | {"x": "y!y!y!y!"}},
                {"after": row.after | {"x": "y!y!y!y!"}},
                {"merchant_id": "globex"},
                {"event_id": UUID(int=row.event_id.int ^ 1)},
                {"at": row.at + timedelta(microseconds=1)}
                if row.at < AT
                else {"at": row.at - timedelta(microseconds=1)},
                {"subjects": (*row.subjects, UUID(int=7))},
                {"sealed": row.sealed + b"x"},
                # what moved from one field into the next reads the same if they are only put together
                {"actor": row.actor + "x", "role": "y" + row.role},
            ]
        )
    )
    chain[place] = (replace(row, **change), stored)  # type: ignore[arg-type]
    assert problems(chain, end_of(chain))


@given(ENTRIES, st.data())
def test_a_removed_moved_or_inserted_entry_is_found(entries: list[Row], data: st.DataObject) -> None:
    chain = written(entries)
    head = end_of(chain)
    place = data.draw(st.integers(0, len(chain) - 1))
    removed = chain[:place] + chain[place + 1 :]
    assert problems(removed, head)
    closed = [(replace(row, sequence=number), stored) for number, (row, stored) in enumerate(removed, 1)]
    assert problems(closed, head)
    inserted = [*chain[:place], (replace(chain[place][0], event_id=UUID(int=1)), chain[place][1]), *chain[place:]]
    renumbered = [(replace(row, sequence=number), stored) for number, (row, stored) in enumerate(inserted, 1)]
    assert problems(inserted, head)
    assert problems(renumbered, head)
    other = data.draw(st.integers(0, len(chain) - 1))
    moved = list(chain)
    moved[place], moved[other] = moved[other], moved[place]
    if other != place:
        assert problems(moved, head)


@given(ENTRIES, st.data())
def test_what_was_written_anew_does_not_fit_the_head_or_an_earlier_proof(
    entries: list[Row], data: st.DataObject
) -> None:
    chain = written(entries)
    place = data.draw(st.integers(0, len(entries) - 1))
    forged = written(
        [*entries[:place], replace(entries[place], actor=entries[place].actor + "x"), *entries[place + 1 :]]
    )
    assert problems(forged, end_of(chain))
    anchor = Head(chain[-1][0].sequence, chain[-1][1])
    assert problems(forged, end_of(forged), anchor)  # the head was forged, too
    shortened = written(entries[:place])
    assert problems(shortened, end_of(shortened), anchor)
    assert problems([], Head(), anchor)


def test_the_form_that_is_hashed_stays_what_it_is() -> None:
    """Logs are kept for years: a change of the canonical form needs another `_FORMAT` and both to be checked."""
    row = Row("acme", 1, UUID(int=5), AT, "admin:1", "owner", "points.adjusted", "settings", {"b": "2", "a": "1"}, {})
    assert hash_of(row, Head().hash).hex() == "3f9824501aace91cb032174d68ecbe034915774f5753374fdcf1ce1e58ca2c5e"
    assert hash_of(replace(row, before={"a": "1", "b": "2"}), Head().hash) == hash_of(row, Head().hash)


def test_the_first_problems_are_named() -> None:
    chain = [(row, b"\0" * 32) for row, _ in written([Row("acme", 0, UUID(int=1), AT, "", "", "", "", {}, {})] * 500)]
    found = problems(chain, end_of(chain))
    assert len(found) == Check.MOST
    assert found[0].sequence == 1
