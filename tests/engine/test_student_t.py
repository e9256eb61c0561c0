import pytest

from engine.student_t import student_t_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (10, 2.2281), (49, 2.0096), (120, 1.9799)],
)
def test_two_sided_95_percent_points_of_the_printed_tables(degrees: int, expected: float) -> None:
    assert student_t_quantile(0.95, degrees) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("probability", "expected"), [(0.5, 0.6998), (0.9, 1.8125), (0.99, 3.1693), (0.999, 4.5869)])
def test_other_probabilities(probability: float, expected: float) -> None:
    assert student_t_quantile(probability, 10) == pytest.approx(expected, abs=6e-5)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert student_t_quantile(0.95, 20_000) == pytest.approx(1.959964, abs=2e-4)
