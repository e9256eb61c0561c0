import numpy as np
import pytest
from scipy import stats

from engine.sweep.groups import Group, grouped, interval, paired
from engine.sweep.table import Row


def row(number: int, best: float | None, mode: str = "max", status: str = "completed", **overrides: object) -> Row:
    settings = {key: value for key, value in overrides.items() if isinstance(value, int | float | str)}
    return Row(number, dict(settings), "python train.py", status, "val/acc", mode, best)


def test_jobs_that_differ_in_the_seed_alone_are_a_group_and_the_best_mean_comes_first() -> None:
    scores = {("a", 0): 0.5, ("b", 0): 0.7, ("a", 1): 0.6, ("b", 1): 0.9, ("c", 0): 0.65}
    rows = [row(n, score, network=name, seed=seed) for n, ((name, seed), score) in enumerate(scores.items())]
    rows += [row(9, 1.0, status="pruned", network="a", seed=2), row(10, None, network="a", seed=3)]
    groups = grouped(rows)
    assert [group.overrides for group in groups] == [{"network": "b"}, {"network": "c"}, {"network": "a"}]
    assert [[r.number for r in group.rows] for group in groups] == [[1, 3], [4], [0, 2]]
    assert groups[0].mean == pytest.approx(np.mean([0.7, 0.9]))
    assert groups[0].std == pytest.approx(np.std([0.7, 0.9], ddof=1))
    assert groups[1].std is None
    assert groups[0].best.number == 3


def test_a_loss_is_the_better_the_lower() -> None:
    groups = grouped([row(n, best, mode="min", lr=n, seed=0) for n, best in enumerate([0.3, 0.1, 0.2])])
    assert [group.overrides["lr"] for group in groups] == [1, 2, 0]
    assert Group({}, "val/loss", "min", [row(0, 0.4), row(1, 0.2)]).best.number == 1


def test_another_metric_is_not_compared() -> None:
    rows = [row(n, 0.5 + 0.1 * n, experiment=n // 2, seed=n % 2) for n in range(4)]
    for other in rows[2:]:
        other.metric = "val/loss"
    first, second = grouped(rows)
    assert first.metric == "val/acc"
    assert second.summary(first)["difference"] is None


@pytest.mark.parametrize("values", [[0.1, 0.4], [0.95, 0.96, 0.94, 0.955], list(np.linspace(0, 1, 25))])
def test_interval_is_students(values: list[float]) -> None:
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert interval(values) == pytest.approx(expected, rel=1e-6)


def test_one_value_has_no_interval() -> None:
    assert interval([0.5]) is None


def test_paired_difference_is_that_of_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    common = random.normal(size=8)
    ours, theirs = common + 0.1 * random.normal(size=8), common - 0.5 + 0.1 * random.normal(size=8)
    a = Group({"network": "a"}, "m", "max", [row(n, float(score), seed=n) for n, score in enumerate(ours)])
    # Another order, and a seed that the other has not.
    others = [row(20 - n, float(score), seed=n) for n, score in reversed(list(enumerate(theirs)))]
    b = Group({"network": "b"}, "m", "max", [*others, row(30, 5.0, seed=99)])
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    difference = paired(a, b)
    assert difference is not None
    assert difference["n"] == 8
    assert difference["mean"] == pytest.approx(np.mean(ours - theirs))
    assert difference["interval"] == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert a.summary(b)["difference"] == difference
    assert a.summary(a)["difference"] is None


def test_jobs_on_several_folds_are_a_group_whose_interval_counts_their_overlap() -> None:
    scores = [[0.9, 0.8, 0.95, 0.85], [0.7, 0.75, 0.85, 0.6]]
    rows = [row(4 * n + k, scores[n][k], lr=n, **{"datamodule.fold": k}) for n in range(2) for k in range(4)]
    first, second = grouped(rows)
    assert (first.overrides, first.folds, first.over) == ({"lr": 0}, 4, "folds")
    half = stats.t.ppf(0.975, 3) * np.std(scores[0], ddof=1) * np.sqrt(1 / 4 + 1 / 3)
    summary = first.summary(first)
    assert summary["folds"] == 4
    assert summary["interval"] == pytest.approx((0.875 - half, 0.875 + half))
    differences = np.subtract(scores[1], scores[0])
    half = stats.t.ppf(0.975, 3) * np.std(differences, ddof=1) * np.sqrt(1 / 4 + 1 / 3)
    difference = second.summary(first)["difference"]
    assert difference["interval"] == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_folds_of_several_seeds() -> None:
    rows = [row(n, 0.5 + n / 10, seed=n // 3, **{"datamodule.fold": n % 3}) for n in range(6)]
    (group,) = grouped(rows)
    assert group.folds == 3
    half = stats.t.ppf(0.975, 5) * np.std(group.scores, ddof=1) * np.sqrt(1 / 6 + 1 / 2)
    assert group.summary(group)["interval"] == pytest.approx((group.mean - half, group.mean + half))


def test_without_common_seeds_there_is_no_difference() -> None:
    a = Group({}, "m", "max", [row(0, 0.5, seed=0), row(1, 0.6, seed=1)])
    b = Group({}, "m", "max", [row(2, 0.5, seed=1), row(3, 0.6, seed=2)])
    assert paired(a, b) is None
