import pytest

from engine.wording import rounded


@pytest.mark.parametrize(
    ("value", "spread", "expected"),
    [
        (0.957523, 0.004622, "0.9575"),
        (0.957523, 0.046, "0.958"),
        (0.957523, None, "0.9575"),
        (0.957523, 0.0, "0.9575"),
        (1234.5678, 250.0, "1235"),
        (12.34567, 0.1, "12.35"),
    ],
)
def test_rounded_by_the_spread(value: float, spread: float | None, expected: str) -> None:
    assert rounded(value, spread) == expected
    assert rounded(value, spread, "+") == f"+{expected}"
