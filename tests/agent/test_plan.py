from __future__ import annotations

import dataclasses

import pytest

from agent.plan import resolve
from agent.substrate.base import FunctionRecord
from mee6.errors import FunctionNotFound
from mee6.manifest import Dependency, Manifest


def a_function(name: str, *dependencies: str, version: int = 1, user: str = "ann") -> FunctionRecord:
    manifest = Manifest(name, "python", {dependency: Dependency() for dependency in dependencies})
    return FunctionRecord(user, name, version, f"{name}-{version}", 1, manifest, 0.0)


def those(*records: FunctionRecord) -> dict[str, FunctionRecord]:
    return {record.name: record for record in records}


def test_a_plan_holds_what_can_be_reached_and_nothing_else() -> None:
    current = those(a_function("a", "b"), a_function("b", "c"), a_function("c"), a_function("other"))
    plan = resolve(current, "a", "ann")
    assert list(plan.functions) == ["a", "b", "c"]
    assert plan.root is current["a"]
    assert plan.missing == ()


def test_what_is_declared_and_not_added_is_named_once_and_sorted() -> None:
    plan = resolve(those(a_function("a", "z", "b", "y"), a_function("b", "y")), "a", "ann")
    assert plan.missing == ("y", "z")
    assert list(plan.functions) == ["a", "b"]


def test_a_cycle_is_fine_and_a_function_may_call_itself() -> None:
    current = those(a_function("a", "b", "a"), a_function("b", "a"))
    assert set(resolve(current, "a", "ann").functions) == {"a", "b"}


def test_functions_of_one_cycle_have_different_digests() -> None:
    current = those(a_function("a", "b"), a_function("b", "a"))
    assert resolve(current, "a", "ann").digest != resolve(current, "b", "ann").digest


def test_the_digest_does_not_depend_on_the_order_of_addition() -> None:
    records = [a_function("a", "b", "c"), a_function("b"), a_function("c")]
    digests = {resolve(those(*order), "a", "ann").digest for order in (records, records[::-1])}
    assert len(digests) == 1


@pytest.mark.parametrize("changed", [{"version": 2}, {"sha256": "other"}, {"user": "bob"}])
def test_the_digest_changes_with_what_matters(changed: dict[str, object]) -> None:
    record = a_function("a")
    other = dataclasses.replace(record, **changed)  # type: ignore[arg-type]
    assert resolve(those(record), "a", "ann").digest != resolve(those(other), "a", "ann").digest


def test_a_new_version_of_what_cannot_be_reached_leaves_the_digest() -> None:
    before = resolve(those(a_function("a"), a_function("b")), "a", "ann")
    after = resolve(those(a_function("a"), a_function("b", version=2)), "a", "ann")
    assert before.digest == after.digest


def test_a_sub_plan_keeps_the_pinned_versions_and_is_made_once() -> None:
    current = those(a_function("a", "b"), a_function("b", "c"), a_function("c"))
    plan = resolve(current, "a", "ann")
    old = current["b"]
    current["b"] = a_function("b", version=2)
    sub = plan.sub("b")
    assert sub.root is old
    assert list(sub.functions) == ["b", "c"]
    assert plan.sub("b") is sub
    assert plan.sub("a") is plan


def test_a_sub_plan_equals_the_plan_made_directly() -> None:
    current = those(a_function("a", "b"), a_function("b", "c"), a_function("c"))
    assert resolve(current, "a", "ann").sub("b").digest == resolve(current, "b", "ann").digest


def test_an_unknown_function_is_named_with_its_user_and_the_next_step() -> None:
    with pytest.raises(FunctionNotFound) as caught:
        resolve({}, "ponger", "ann")
    assert caught.value.message == "no function 'ponger' for user 'ann'; see: mee6 act ls"
