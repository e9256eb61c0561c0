"""Regular expressions of a config, and texts of a stranger's on which the project's own could backtrack.

A failure shows by a test that takes longer than its few seconds.
"""

import threading
import time
from collections.abc import Iterator

import pytest
from torch import nn

from engine.checkpoints.architecture import other_architecture
from engine.preflight.rehearsal import culprit
from engine.run.failure import sentence
from engine.training.parameter_groups import parameter_groups
from engine.wording import cell

NETWORK = nn.ModuleDict({"backbone_of_many_letters_and_more": nn.Linear(2, 3), "head": nn.Linear(3, 2)})


@pytest.fixture(autouse=True)
def few_seconds() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < 10


@pytest.mark.parametrize("pattern", [r"^(([a-z]|_|\d|\.)*)*!$", "(a|b|_|[a-z]|.)+!", r"^(\w+\w+)+!", "((.*)*)*!"])
def test_a_pattern_that_backtracks(pattern: str) -> None:
    with pytest.raises(ValueError, match="takes longer than 1 s"):
        parameter_groups(NETWORK, [{"pattern": pattern}])


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 5000 + ")" * 5000, "*", 1])
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        parameter_groups(NETWORK, [{"pattern": pattern}])


def test_a_thread_has_no_signals() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(parameter_groups(NETWORK, [{"pattern": "^head"}]))))
    thread.start()
    thread.join()
    assert found == [2]


@pytest.mark.parametrize("key", ["((a|a)*)*!", "(", "*"])
def test_a_key_is_no_pattern(key: str) -> None:
    assert culprit({key: 1, "lr": 2}, f"{'a' * 50} of lr=2") == "lr"


def test_digits() -> None:
    text = "+" + "1" * 100_000 + "x"
    assert cell(text) == f"'{text}"
    assert [cell(number) for number in ("-1", "-1.", "-.5", "+1.5e-3")] == ["-1", "-1.", "-.5", "+1.5e-3"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a/\x1b]0;x\x07.jpg", r"a/\x1b]0;x\x07.jpg"),
        ("=\x1b[31m", r"'=\x1b[31m"),
        ("\x9b31m", r"\x9b31m"),
        ("Größe\t蜜蜂", "Größe\t蜜蜂"),
        ("\udce9.jpg", "\udce9.jpg"),
    ],
)
def test_no_cell_acts_upon_a_terminal(text: str, shown: str) -> None:
    """Bytes that are not UTF-8 stay: a path has to be found again."""
    assert cell(text) == shown


def test_errors_that_repeat_names() -> None:
    name = "size mismatch for x: Size([1 Unexpected key(s) in state_dict: monitor=' missing 1 required " * 3000
    assert other_architecture(RuntimeError(f"Error(s) in loading state_dict for X: {name}")) is not None
    sentence(RuntimeError(name))
