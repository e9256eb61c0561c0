from typing import Any

import pytest
from omegaconf import OmegaConf

from engine.preflight.findings import UNKNOWN, Findings, is_known, select
from engine.wording import shown

CONFIG = """
seed: 1
data: {seed: '${seed}', size: '${.seed}', name: '???', label: '${data.name}'}
list: [{a: '${nothing}'}, 2]
"""


@pytest.fixture
def findings() -> Findings:
    return Findings(OmegaConf.create(CONFIG))


def test_what_can_be_resolved_is(findings: Findings) -> None:
    data = {"seed": 1, "size": 1, "name": UNKNOWN, "label": UNKNOWN}
    assert findings.values == {"seed": 1, "data": data, "list": [{"a": UNKNOWN}, 2]}
    assert list(findings.lines.values()) == [
        "data.name=???: must be given: data.name=…",
        "list[0].a=${nothing}: refers to nothing, which does not exist: give list[0].a=…",
    ]
    assert is_known(findings.values["seed"])
    assert not is_known(findings.values)


def test_a_mistake_is_told_once_where_it_was_given(findings: Findings) -> None:
    findings.add("data.seed", "must be even")
    findings.add("seed", "again")
    assert findings.lines["seed"] == "seed=1: must be even"
    assert "data.seed" not in findings.lines
    assert findings.any_below("data")
    assert not Findings(OmegaConf.create({"data": {"seed": 1}, "seed": 2})).any_below("data")


def test_what_is_one_too_many_is_taken_out(findings: Findings) -> None:
    findings = Findings(OmegaConf.create({"a": {"b": 1, "c": 2}}))
    findings.take_out("a.b", "is unknown")
    assert findings.values == {"a": {"c": 2}}
    assert findings.lines == {"a.b": "a.b=1: is unknown"}
    assert not findings.any_below("a")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.5, "1.5"),
        ("a b", "a b"),
        ([1, None, [{}]], "[1,null,[{}]]"),
        ({"a": 1}, "{…}"),
        ("x" * 99, "x" * 59 + "…"),
        ("a\x1b[2J\n", "'a\\x1b[2J\\n'"),
    ],
)
def test_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_select() -> None:
    node = {"a": [{"b": 1}], "c": None}
    assert select(node, "a[0].b") == 1
    assert select(node, "c") is None
    assert [select(node, key) for key in ("x", "a[1]", "a.b", "c.d")] == [UNKNOWN] * 4


def test_a_key_that_should_not_be_there_is_named_itself() -> None:
    """What it refers to is right, and other keys that refer to that are looked at."""
    findings = Findings(OmegaConf.create({"epochs": 5, "scheduler": {"T_max": "${epochs}"}, "other": "${epochs}"}))
    findings.take_out("scheduler.T_max", "ExponentialLR takes no T_max")
    findings.add("other", "must be even")
    assert findings.lines == {
        "scheduler.T_max": "scheduler.T_max=5: ExponentialLR takes no T_max",
        "epochs": "epochs=5: must be even",
    }
    assert findings.values["scheduler"] == {}
