"""Dealing partitions: balanced, determined by what is told, few moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.log.kafka.assignor import (
    PreviousAssignment,
    StickyAssignor,
    assign_partitions,
)

NAMES = ("a", "b", "c", "d", "e")


def held(*partitions: int, generation: int = 1) -> PreviousAssignment:
    return PreviousAssignment(generation=generation, partitions=frozenset(partitions))


def test_one_member_is_given_all() -> None:
    assert assign_partitions(3, {"a": PreviousAssignment()}) == {"a": (0, 1, 2)}


def test_a_joiner_is_given_only_what_the_others_have_too_many_of() -> None:
    dealt = assign_partitions(
        8, {"a": held(0, 1, 2, 3), "b": held(4, 5, 6, 7), "c": PreviousAssignment()}
    )
    assert dealt == {"a": (0, 1, 2), "b": (4, 5, 6), "c": (3, 7)}


def test_what_a_leaver_held_is_spread_and_nothing_else_moves() -> None:
    dealt = assign_partitions(8, {"a": held(0, 1, 2), "c": held(3, 7)})
    assert set(dealt["a"]) >= {0, 1, 2}
    assert set(dealt["c"]) >= {3, 7}
    assert len(dealt["a"]) == len(dealt["c"]) == 4


def test_of_two_that_name_a_partition_the_later_generation_holds_it() -> None:
    members = {"a": held(0, 1, generation=4), "b": held(0, 1, generation=5)}
    assert assign_partitions(2, members) == {"a": (1,), "b": (0,)}
    members["c"] = held(0, 1, generation=3)
    assert assign_partitions(2, members)["a"] == (1,)


def test_partitions_that_do_not_exist_are_not_dealt() -> None:
    assert assign_partitions(2, {"a": held(0, 7)}) == {"a": (0, 1)}


def test_more_members_than_partitions_leave_some_without() -> None:
    dealt = assign_partitions(1, {"a": PreviousAssignment(), "b": PreviousAssignment()})
    assert sorted(map(len, dealt.values())) == [0, 1]


members = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        PreviousAssignment,
        generation=st.integers(-1, 5),
        partitions=st.frozensets(st.integers(0, 12)),
    ),
    min_size=1,
)


@given(st.integers(1, 12), members)
def test_every_partition_is_dealt_once_and_shares_differ_by_one(
    count: int, told: dict[str, PreviousAssignment]
) -> None:
    dealt = assign_partitions(count, told)
    assert sorted(p for share in dealt.values() for p in share) == list(range(count))
    sizes = [len(share) for share in dealt.values()]
    assert max(sizes) - min(sizes) <= 1
    assert dealt == assign_partitions(count, dict(reversed(told.items())))


@given(st.integers(1, 12), members)
def test_a_second_deal_moves_nothing(
    count: int, told: dict[str, PreviousAssignment]
) -> None:
    dealt = assign_partitions(count, told)
    kept = {m: held(*share, generation=9) for m, share in dealt.items()}
    assert assign_partitions(count, kept) == dealt


def test_members_tell_the_leader_what_they_hold_in_kafkas_own_form() -> None:
    first, second = StickyAssignor("t", 4), StickyAssignor("t", 4)
    first.previous = held(2, 3)
    told = {"x": first.metadata(["t"]), "y": second.metadata(["t"])}
    dealt = second.assign(None, told)
    assert dealt["x"].assignment == [("t", [2, 3])]
    assert dealt["y"].assignment == [("t", [0, 1])]


def test_a_member_that_tells_nothing_readable_is_dealt_a_share_all_the_same() -> None:
    assignor = StickyAssignor("t", 2)
    stranger = assignor.metadata(["t"])
    stranger.user_data = b"\xff"
    dealt = assignor.assign(None, {"x": stranger, "y": assignor.metadata(["t"])})
    assert [len(dealt[m].assignment[0][1]) for m in ("x", "y")] == [1, 1]
