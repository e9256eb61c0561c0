import math
import re
from pathlib import Path

import pytest

from engine.sweep.report import job_line, print_sweep, ranges
from engine.sweep.table import Row, Sweep


def sweep_of(directory: Path, *rows: Row) -> Sweep:
    return Sweep(directory, jobs={row.number: row for row in rows})


def completed(number: int, best: float, **overrides: float | str) -> Row:
    name = f"{number:03}"
    return Row(
        number, dict(overrides), f"python train.py x={number}", "completed", "val/acc", "max", best, best, 5, 2.0, name
    )


def failed(number: int, **overrides: float | str) -> Row:
    error = "ValueError: [no] such thing"
    return Row(
        number, dict(overrides), "", "failed", "val/acc", "max", seconds=0.5, directory=f"{number:03}", error=error
    )


def lines_with(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if word in line]


def test_job_line() -> None:
    assert job_line(completed(3, 0.98765), 4, 12) == " 4/12  003  best val/acc 0.9877  2.0 s"
    assert job_line(failed(3), 4, 12) == " 4/12  003  failed: ValueError: [no] such thing  0.5 s"
    pruned = completed(3, 0.5)
    pruned.status = "pruned"
    assert job_line(pruned, 4, 5) == "4/5  003  pruned, best val/acc 0.5  2.0 s"


def test_best_first_failures_with_reasons_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [completed(0, 0.5, lr=0.1), completed(1, 0.9, lr=0.2), failed(2, lr=0.3), Row(3, {"lr": 0.4}, "")]
    print_sweep(sweep_of(tmp_path / "sweep", *rows))
    text = capsys.readouterr().out
    assert text.index("0.9") < text.index("0.5 ")
    assert "4 jobs: 2 completed, 1 failed, 1 missing" in text
    assert "failed  #2 lr=0.3: ValueError: [no] such thing (sweep/002/train.log)" in text
    assert "#3" not in text, "there is nothing to say about it"
    assert re.search(r"repeat the best +python \S*train.py x=1$", text, re.MULTILINE)
    assert re.search(r"resume +python \S*train.py -m sweep.resume=sweep$", text, re.MULTILINE)


def test_seeds_are_taken_together_and_compared_seed_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    better = [completed(seed, 0.9 + 0.01 * seed, network="a", seed=seed) for seed in range(3)]
    worse = [completed(3 + seed, 0.8 + 0.011 * seed, network="b", seed=seed) for seed in range(3)]
    print_sweep(sweep_of(tmp_path, *worse, *better))
    text = capsys.readouterr().out
    (first,), (second,) = lines_with(text, " a "), lines_with(text, " b ")
    assert text.index(first) < text.index(second)
    assert re.split(r"  +", first.strip()) == ["a", "0.910", "0.010", "3", "[0.885, 0.935]", "2.0", "0-2"]
    # d = -0.1, -0.099, -0.098: mean -0.099, s = 0.001, t(2) = 4.3027
    assert "-0.0990 [-0.1015, -0.0965]" in second
    assert "resume" not in text


def test_the_best_is_judged_by_what_chose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [completed(0, 0.5, lr=0.1), completed(1, 0.9, lr=0.2)]
    (tmp_path / "sweep" / "001").mkdir(parents=True)
    known = tmp_path / "sweep" / "001" / "metrics.json"

    print_sweep(sweep_of(tmp_path / "sweep", *rows))
    text = capsys.readouterr().out
    assert "selected         the best of 2 jobs, by the same validation examples that its val/acc is of" in text
    assert "judge the best" not in text, "there is nothing that could"

    (known.parent / "config.yaml").write_text("cache: true\nfeatures: {chunk: 1}\n")
    print_sweep(sweep_of(tmp_path / "sweep", *rows))
    text = capsys.readouterr().out
    assert re.search(r"judge the best +\S.*evaluate\.py run=sweep/001 split=cross_validation\n", text)

    known.write_text('{"test/acc": 0.75, "counts": {"test": 40}}')
    print_sweep(sweep_of(tmp_path / "sweep", *rows))
    text = capsys.readouterr().out  # Wilson's interval of 30 in 40
    assert "not selected     test/acc 0.75 [0.60, 0.86] for the best job, on data not used for selection" in text
    assert "by the same validation" not in text


def test_folds_are_reported_by_their_last_epoch_with_one_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 folds of 40 photos, 180 of 200 right; the variance of folds that are alike is that of independent photos."""
    rows = [completed(fold, 1.0, **{"datamodule.fold": fold}) for fold in range(5)]
    for row, right in zip(rows, (36, 36, 36, 35, 37), strict=True):
        row.final = right / 40
        (tmp_path / f"{row.number:03}").mkdir()
        (tmp_path / f"{row.number:03}" / "metrics.json").write_text('{"counts": {"val": 40}}')
    print_sweep(sweep_of(tmp_path, *rows))
    text = capsys.readouterr().out
    half = 2.77645 * math.sqrt((1 / 5 + 1 / 4) * (182 / 204) * (22 / 204) / 40)
    assert f"last epoch       val/acc 0.900 [{0.9 - half:.3f}, {0.9 + half:.3f}], mean over 5 folds" in text
    assert "selected" not in text

    others = [completed(5 + fold, 0.9, lr=1, **{"datamodule.fold": fold}) for fold in range(5)]
    print_sweep(sweep_of(tmp_path, *rows, *others))
    assert "the best of 2 settings, by the same validation examples" in capsys.readouterr().out

    rows[2].final = None
    print_sweep(sweep_of(tmp_path, *rows))
    assert "val/acc is not finite in 1 of 5 folds" in capsys.readouterr().out


def test_nothing_completed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_sweep(sweep_of(tmp_path, failed(0, lr=1)))
    text = capsys.readouterr().out
    assert "failed  #0 lr=1: ValueError" in text
    assert "repeat the best" not in text


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([7], "7"), ([2, 0, 1, 3, 7], "0-3, 7"), ([0, 2], "0, 2"), (range(0, 20, 2), "0, 2, 4, …, 18")],
)
def test_ranges(numbers: list[int], expected: str) -> None:
    assert ranges(numbers) == expected


@pytest.mark.parametrize(
    ("facts", "column", "reason"),
    [
        ({"network": "lite", "substitute_for": "resnet18"}, "substitute for", "none: same network"),
        ({"network": "lite", "source": "stand-in"}, "data", "none: other data"),
    ],
)
def test_what_cannot_be_compared_gets_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], facts: dict[str, str], column: str, reason: str
) -> None:
    first = [completed(seed, 0.9 + 0.01 * seed, network="a", seed=seed) for seed in range(3)]
    second = [completed(3 + seed, 0.8 + 0.02 * seed, network="b", seed=seed) for seed in range(3)]
    for row in first:
        row.network, row.source = "lite", "official"
    for row in second:
        row.source = "official"
        vars(row).update(facts)
    sweep = sweep_of(tmp_path, *first, *second)
    print_sweep(sweep)
    text = capsys.readouterr().out
    assert column in text
    assert reason in text
    assert next(value for key, value in facts.items() if key != "network") in text


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [
        ([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], ["all equal", "-0.1, all equal"]),
        ([0.9, 0.91], [0.8, 0.83], ["n = 2", ", n = 2"]),
        ([0.9, 0.8, 0.7], [0.7, 0.9, 0.78], ["within chance"]),
    ],
)
def test_words_where_an_interval_would_mislead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], better: list[float], worse: list[float], expected: list[str]
) -> None:
    scores = [("a", seed, score) for seed, score in enumerate(better)]
    scores += [("b", seed, score) for seed, score in enumerate(worse)]
    print_sweep(sweep_of(tmp_path, *(completed(n, s, network=net, seed=i) for n, (net, i, s) in enumerate(scores))))
    text = capsys.readouterr().out
    assert all(word in text for word in expected), text
