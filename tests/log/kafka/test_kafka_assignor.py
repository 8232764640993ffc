"""Assigning partitions: balanced, the same for the same members, few moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.log.kafka.assignor import (
    PreviousAssignment,
    Share,
    StickyAssignor,
    assign_partitions,
    share_partitions,
)

NAMES = ("a", "b", "c", "d", "e")


def previous(*partitions: int, generation: int = 1) -> PreviousAssignment:
    return PreviousAssignment(generation=generation, partitions=frozenset(partitions))


def test_one_member_is_assigned_all_partitions() -> None:
    assert assign_partitions(3, {"a": PreviousAssignment()}) == {"a": (0, 1, 2)}


def test_a_joiner_gets_only_what_the_others_have_too_many_of() -> None:
    assignment = assign_partitions(
        8,
        {
            "a": previous(0, 1, 2, 3),
            "b": previous(4, 5, 6, 7),
            "c": PreviousAssignment(),
        },
    )
    assert assignment == {"a": (0, 1, 2), "b": (4, 5, 6), "c": (3, 7)}


def test_the_partitions_of_a_leaver_are_spread_and_nothing_else_moves() -> None:
    assignment = assign_partitions(8, {"a": previous(0, 1, 2), "c": previous(3, 7)})
    assert set(assignment["a"]) >= {0, 1, 2}
    assert set(assignment["c"]) >= {3, 7}
    assert len(assignment["a"]) == len(assignment["c"]) == 4


def test_of_two_that_name_a_partition_the_later_generation_holds_it() -> None:
    members = {"a": previous(0, 1, generation=4), "b": previous(0, 1, generation=5)}
    assert assign_partitions(2, members) == {"a": (1,), "b": (0,)}
    members["c"] = previous(0, 1, generation=3)
    assert assign_partitions(2, members)["a"] == (1,)


def test_partitions_that_do_not_exist_are_not_assigned() -> None:
    assert assign_partitions(2, {"a": previous(0, 7)}) == {"a": (0, 1)}


def test_more_members_than_partitions_leave_some_without() -> None:
    assignment = assign_partitions(
        1, {"a": PreviousAssignment(), "b": PreviousAssignment()}
    )
    assert sorted(map(len, assignment.values())) == [0, 1]


members = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        PreviousAssignment,
        generation=st.integers(-1, 5),
        partitions=st.frozensets(st.integers(0, 12)),
    ),
    min_size=1,
)
holders = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        PreviousAssignment,
        generation=st.integers(-1, 5),
        partitions=st.frozensets(st.integers(0, 12)),
        held=st.frozensets(st.integers(0, 12)),
    ),
    min_size=1,
)


@given(st.integers(1, 12), members)
def test_every_partition_is_assigned_once_and_shares_differ_by_one(
    count: int, members: dict[str, PreviousAssignment]
) -> None:
    assignment = assign_partitions(count, members)
    assert sorted(p for share in assignment.values() for p in share) == list(
        range(count)
    )
    sizes = [len(share) for share in assignment.values()]
    assert max(sizes) - min(sizes) <= 1
    assert assignment == assign_partitions(count, dict(reversed(members.items())))


@given(st.integers(1, 12), members)
def test_a_second_assignment_moves_nothing(
    count: int, members: dict[str, PreviousAssignment]
) -> None:
    assignment = assign_partitions(count, members)
    next_members = {
        m: previous(*share, generation=9) for m, share in assignment.items()
    }
    assert assign_partitions(count, next_members) == assignment


def holding(*partitions: int, held: tuple[int, ...]) -> PreviousAssignment:
    return PreviousAssignment(
        generation=1, partitions=frozenset(partitions), held=frozenset(held)
    )


def test_a_partition_that_another_one_holds_is_assigned_when_it_is_released() -> None:
    members = {"a": holding(0, 1, 2, 3, held=(0, 1, 2, 3)), "b": PreviousAssignment()}
    assert assign_partitions(4, members) == {"a": (0, 1), "b": ()}
    members = {"a": holding(0, 1, held=(0, 1, 3)), "b": PreviousAssignment()}
    assert assign_partitions(4, members) == {"a": (0, 1), "b": (2,)}
    members = {"a": holding(0, 1, held=(0, 1)), "b": holding(2, held=(2,))}
    assert assign_partitions(4, members) == {"a": (0, 1), "b": (2, 3)}


def test_a_partition_goes_back_to_its_holder_when_the_next_owner_has_died() -> None:
    members = {"a": holding(0, 1, held=(0, 1, 2, 3))}
    assert assign_partitions(4, members) == {"a": (0, 1, 2, 3)}
    members = {
        "a": holding(0, 1, held=(0, 1, 3)),
        "b": holding(4, 5, held=(2, 4, 5)),
    }
    assert assign_partitions(6, members) == {"a": (0, 1, 3), "b": (2, 4, 5)}


def test_who_was_assigned_a_partition_later_need_not_wait_for_an_earlier_holder() -> (
    None
):
    members = {
        "back": PreviousAssignment(generation=3, held=frozenset({0, 1})),
        "other": previous(0, 1, generation=5),
    }
    assert assign_partitions(2, members)["other"] == (0,)


@given(st.integers(1, 12), holders)
def test_each_partition_is_assigned_at_last_when_holders_release(
    count: int, members: dict[str, PreviousAssignment]
) -> None:
    generation, assignment = 9, dict[str, tuple[int, ...]]()
    for generation in range(9, 12):
        assignment = assign_partitions(count, members)
        flat = [p for share in assignment.values() for p in share]
        assert len(flat) == len(set(flat))
        members = {
            m: PreviousAssignment(
                generation=generation,
                partitions=frozenset(share),
                held=frozenset(share),
            )
            for m, share in assignment.items()
        }
    assert sorted(p for share in assignment.values() for p in share) == list(
        range(count)
    )


refused = st.dictionaries(st.sampled_from(NAMES), st.frozensets(st.integers(0, 12)))


@given(st.integers(1, 12), members, refused)
def test_a_refused_partition_goes_to_who_takes_it_and_to_anyone_if_all_refuse(
    count: int,
    members: dict[str, PreviousAssignment],
    refused: dict[str, frozenset[int]],
) -> None:
    assignment = assign_partitions(count, members, refused)
    assert sorted(p for share in assignment.values() for p in share) == list(
        range(count)
    )
    everywhere = set(range(13)).intersection(*(refused.get(m, ()) for m in members))
    for member, share in assignment.items():
        assert not set(share) & refused.get(member, frozenset()) - everywhere
    kept = {m: previous(*share, generation=9) for m, share in assignment.items()}
    assert assign_partitions(count, kept, refused) == assignment


def test_the_share_of_one_who_refuses_all_is_spread_evenly() -> None:
    members = {"a": previous(0, 1, 2), "b": previous(3, 4, 5), "c": previous(6, 7)}
    assignment = assign_partitions(8, members, {"b": frozenset(range(8))})
    assert assignment == {"a": (0, 1, 2, 4), "b": (), "c": (3, 5, 6, 7)}


def test_shares_are_levelled_along_a_chain_of_those_who_may_take() -> None:
    members = {"a": previous(0, 1, 2, 3), "b": previous(4, 5), "c": previous()}
    refused = {"c": frozenset({0, 1, 2, 3})}
    assignment = assign_partitions(6, members, refused)
    assert sorted(map(len, assignment.values())) == [2, 2, 2]
    assert set(assignment["c"]) == {4, 5}


def test_members_tell_the_leader_what_they_refuse() -> None:
    first, second = StickyAssignor("t", 2), StickyAssignor("t", 2)
    first.refused = frozenset({0, 1})
    metadata = {"x": first.metadata(["t"]), "y": second.metadata(["t"])}
    assert first.sent_refused == {0, 1}
    assignment = second.assign(None, metadata)
    assert assignment["x"].assignment == [("t", [])]
    assert assignment["y"].assignment == [("t", [0, 1])]


def test_members_send_the_leader_their_partitions_in_kafkas_own_form() -> None:
    first, second = StickyAssignor("t", 4), StickyAssignor("t", 4)
    first.previous = previous(2, 3)
    first.held = {1, 2, 3}
    second.folded = frozenset({0, 1})
    metadata = {"x": first.metadata(["t"]), "y": second.metadata(["t"])}
    assignment = second.assign(None, metadata)
    assert assignment["x"].assignment == [("t", [2, 3])]
    assert assignment["y"].assignment == [("t", [0])]
    assert first.held_at_join == {1, 2, 3}


def test_a_member_whose_user_data_is_unreadable_gets_a_share_all_the_same() -> None:
    assignor = StickyAssignor("t", 2)
    unreadable = assignor.metadata(["t"])
    unreadable.user_data = b"\xff"
    assignment = assignor.assign(None, {"x": unreadable, "y": assignor.metadata(["t"])})
    assert [len(assignment[m].assignment[0][1]) for m in ("x", "y")] == [1, 1]


def test_only_the_leader_knows_who_lives_and_not_beside_older_builds() -> None:
    leader, other = StickyAssignor("t", 2), StickyAssignor("t", 2)
    leader.owner_id, other.owner_id = "w1/1", "w2/1"
    metadata = {"x": leader.metadata(["t"]), "y": other.metadata(["t"])}
    leader.assign(None, metadata)
    assert leader.living == frozenset({"w1/1", "w2/1"})
    assert other.living is None
    older = StickyAssignor("t", 2).metadata(["t"])
    older.user_data = b'{"generation": 1, "partitions": [0]}'
    leader.assign(None, {**metadata, "z": older})
    assert not leader.living


def test_who_joins_again_may_not_be_the_leader_any_more() -> None:
    leader = StickyAssignor("t", 2)
    leader.owner_id = "w1/1"
    leader.assign(None, {"x": leader.metadata(["t"])})
    leader.metadata(["t"])
    assert leader.living is None


def test_a_partition_stays_where_it_is_served_until_its_next_owner_has_folded_it() -> (
    None
):
    serves = PreviousAssignment(
        generation=1,
        partitions=frozenset({0, 1, 2, 3}),
        held=frozenset({0, 1, 2, 3}),
        folded=frozenset(),
    )

    def shares(*folded: int) -> dict[str, Share]:
        joins = PreviousAssignment(folded=frozenset(folded))
        return share_partitions(4, {"a": serves, "b": joins})

    first = shares()
    assert first["a"] == Share(assigned=(0, 1, 2, 3), expected=())
    assert first["b"].assigned == ()
    (one, other) = first["b"].expected
    # What is folded is taken from who serves it; who has folded it follows on.
    then = shares(one)
    assert then["a"].assigned == tuple(p for p in range(4) if p != one)
    assert then["b"] == Share(assigned=(), expected=(one, other))


def test_what_its_owner_refuses_or_serves_no_longer_is_not_waited_with() -> None:
    folded_nothing = PreviousAssignment(folded=frozenset())
    gone = {"b": folded_nothing}
    assert share_partitions(2, gone)["b"].assigned == (0, 1)
    serves = PreviousAssignment(
        generation=1, partitions=frozenset({0, 1}), held=frozenset({1})
    )
    refused = {"a": frozenset({0})}
    shares = share_partitions(2, {"a": serves, "b": folded_nothing}, refused)
    assert shares["b"].assigned == (0,)


def test_members_are_told_what_to_fold_and_tell_what_they_have_folded() -> None:
    first, second = StickyAssignor("t", 2), StickyAssignor("t", 2)
    first.previous, first.held = previous(0, 1), {0, 1}
    metadata = {"x": first.metadata(["t"]), "y": second.metadata(["t"])}
    assignment = second.assign(None, metadata)
    assert assignment["x"].assignment == [("t", [0, 1])]
    second.on_assignment(assignment["y"])
    (partition,) = second.expected
    second.folded = second.expected
    metadata["y"] = second.metadata(["t"])
    assignment = second.assign(None, metadata)
    assert assignment["x"].assignment == [("t", [1 - partition])]
