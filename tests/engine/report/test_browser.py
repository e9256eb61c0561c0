"""A run's page as a person sees it who opens the file."""

from pathlib import Path

import pytest

from tests.browsing import browse

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1200, 420])
def test_all_pictures_load_and_nothing_runs_over_the_edge(width: int, run_dir: Path, tmp_path: Path) -> None:
    page_alone = tmp_path / "sent.html"  # as it comes to a colleague, without the files beside it
    page_alone.write_bytes((run_dir / "report.html").read_bytes())
    with browse(width=width) as page:
        page.open(page_alone.as_uri())
        page.wait_for("document.images.length >= 2")
        assert page.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.run("performance.getEntriesByType('resource').every(entry => entry.name.startsWith('data:'))")
