import math

import pytest

from engine.config.sweep_job import Setting
from engine.pages.plots import Line, draw_best_of, draw_lines, draw_settings, scale_of, side_by_side


@pytest.mark.parametrize(
    ("key", "values", "is_log", "expected"),
    [
        ("optimizer.lr", [0.01, 0.02], False, ("log", {0.01: "0.01", 0.02: "0.02"}, False)),
        ("optimizer.weight_decay", [0.0, 1e-3], False, ("linear", {0.0: "0", 0.001: "0.001"}, False)),
        ("loss.smoothing", [0.1, 0.2], False, ("linear", {0.1: "0.1", 0.2: "0.2"}, False)),
        ("loss.scale", [0.001, 1.0], False, ("log", {0.001: "0.001", 1.0: "1"}, False)),
        ("loss.scale", [0.1, 0.2], True, ("log", {0.1: "0.1", 0.2: "0.2"}, False)),
        ("seed", [1, 100], False, ("linear", {1.0: "1", 100.0: "100"}, True)),
        ("datamodule.batch_size", [4, 8], False, ("linear", {4.0: "4", 8.0: "8"}, True)),
        ("datamodule.batch_size", [4, 512], False, ("log", {4.0: "4", 512.0: "512"}, True)),
        ("network", ["b", "a", "b"], False, ("linear", {0: "a", 1: "b"}, True)),
        ("x", [None, 1.5, True], False, ("linear", {0: "1.5", 1: "null", 2: "true"}, True)),
        ("seed", list(range(20)), False, ("linear", {}, True)),
    ],
)
def test_an_axis_suits_its_values(
    key: str, values: list[Setting], is_log: bool, expected: tuple[str, dict[float, str], bool]
) -> None:
    scale = scale_of(key, values, is_log)
    assert (scale.kind, scale.ticks, scale.is_whole) == expected
    assert len(scale.places) == len(values)


def test_equal_points_stand_apart_and_others_stay() -> None:
    x, y = [1.0, 1.0, 1.0, 2.0, 3.0], [0.5, 0.5, 0.4, 0.5, 0.5]
    moved = side_by_side(x, y, "linear")
    assert moved == side_by_side(x, y, "linear")
    assert moved[2:] == x[2:]
    assert moved[0] < 1.0 < moved[1]
    assert moved[1] - moved[0] == pytest.approx(0.04)
    crowd = side_by_side([0.1] * 300 + [0.2], [0.5] * 301, "log")
    assert len(set(crowd)) == 301
    assert max(crowd[:300]) < math.sqrt(0.1 * 0.2), "they do not reach the next value"


NAMES: list[Setting] = ["<b>x</b>", "[red]", "蜜蜂", "$a_{b}$", "x" * 200]


def test_names_of_all_kinds_are_drawn_without_a_warning() -> None:
    scales = {"<i>$k$</i>": scale_of("k", NAMES), "lr": scale_of("lr", [0.1, 1e-3, 1e-5, 0.1, 0.1])}
    drawings = [
        draw_settings("val/$x$", scales, [0.1, 0.2, 0.3, 0.4, 1e-9], [True, True, False, True, True]),
        draw_lines(
            "蜜蜂", [Line([1, 2, 3], [0.1, math.nan, math.inf], str(name), "#111", True) for name in NAMES], "x"
        ),
        draw_lines("val/loss", [Line([4], [1e-9], None, "#111", False), Line([4], [1.0], None, "#111", True)], "epoch"),
        draw_best_of("val/loss", {1: 1.0, 2: 1e-9}, [1.0, 1e-9]),
    ]
    assert all(drawing.png.startswith(b"\x89PNG") for drawing in drawings)
