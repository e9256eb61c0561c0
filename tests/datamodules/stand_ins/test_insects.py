import numpy as np
import pytest

from datamodules.stand_ins.insects import draw_insect


@pytest.mark.parametrize("insect", ["ants", "bees"])
def test_picture_depends_on_its_generator_alone(insect: str) -> None:
    first, again, other = (np.asarray(draw_insect(insect, np.random.default_rng(seed))) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:150, :200], other[:150, :200])
    height, width, channels = first.shape
    assert 150 <= height <= 210
    assert 200 <= width <= 280
    assert channels == 3


def test_ants_and_bees_share_ground_but_not_body() -> None:
    """With the same draws for the ground, the two differ where the insect is, in the middle, not at the rim."""
    ants, bees = (
        np.stack([np.asarray(draw_insect(name, np.random.default_rng(seed)))[:150, :200] for seed in range(30)])
        for name in ("ants", "bees")
    )
    middle, corner = np.s_[:, 60:90, 80:120], np.s_[:, :15, :15]
    assert np.abs(ants[middle].astype(float).mean() - bees[middle].astype(float).mean()) > 10
    assert np.abs(ants[corner].astype(float).mean() - bees[corner].astype(float).mean()) < 10


def test_unknown_insect_is_refused() -> None:
    with pytest.raises(KeyError):
        draw_insect("wasps", np.random.default_rng(0))
