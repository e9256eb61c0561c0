import numpy as np

from datamodules.stand_ins.shapes import _OUTLINES, SHAPES, draw_shapes


def test_pictures_depend_on_labels_and_generator_alone() -> None:
    labels = np.arange(20) % 10
    first, again, other = (draw_shapes(labels, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (20, 3, 32, 32)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_outlines_are_distances() -> None:
    """No outline's field changes by more than the distance walked, and each has an inside and an outside."""
    y, x = np.mgrid[-1.5:1.5:301j, -1.5:1.5:301j]
    for name, outline in _OUTLINES.items():
        field = outline(x, y)
        inside = (field < 0).mean()
        assert 0.05 < inside < 0.3, name
        smooth = np.abs(np.diff(field, axis=0)) <= 0.01 + 1e-9
        assert smooth.mean() > 0.97, name


def test_areas_are_those_of_geometry() -> None:
    y, x = np.mgrid[-1.5:1.5:1501j, -1.5:1.5:1501j]

    def area(name: str) -> float:
        return float((_OUTLINES[name](x, y) < 0).mean() * 3.002**2)

    assert np.isclose(area("disc"), np.pi * 0.8**2, rtol=0.01)
    assert np.isclose(area("ring"), np.pi * (0.9**2 - 0.5**2), rtol=0.01)
    assert np.isclose(area("square"), 1.4**2, rtol=0.01)
    assert np.isclose(area("cross"), 2 * 1.8 * 0.5 - 0.5**2, rtol=0.01)
    assert np.isclose(area("triangle"), 3 / 2 * np.sin(2 * np.pi / 3), rtol=0.01)
    assert np.isclose(area("star"), 5 * 0.4 * np.sin(np.pi / 5), rtol=0.01)
    assert np.isclose(area("dots"), 4 * np.pi * 0.33**2, rtol=0.01)


def test_colour_and_place_do_not_give_the_class_away() -> None:
    """Ridge regression on the pixels, which knows no shapes, does little better than chance on new pictures."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(1600) % 10)
    pixels = draw_shapes(labels, rng).reshape(1600, -1) / 127.5 - 1
    gram = pixels @ pixels[:1200].T
    weights = np.linalg.solve(gram[:1200] + 300 * np.eye(1200), np.eye(10)[labels[:1200]])
    accuracy = ((gram[1200:] @ weights).argmax(axis=1) == labels[1200:]).mean()
    assert accuracy < 0.35


def test_shapes_are_ten() -> None:
    assert len(set(SHAPES)) == 10
