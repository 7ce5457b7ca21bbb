"""The pictures are pictures, whatever the scores; the summary says what was measured."""

import io
import json

import numpy as np
import pytest

from spkid.metrics import OperatingPoint, TrialScores
from spkid.metrics.plots import plot_calibration, plot_confusion, plot_det, plot_roc, plot_scores
from spkid.metrics.summary import summarize, summary_line

RANDOM = np.random.default_rng(1)
POINTS = (OperatingPoint(0.01), OperatingPoint(0.05, 10, 1))
CASES = {
    "ordinary": (RANDOM.normal(2, 1, 200), RANDOM.normal(0, 1, 3000)),
    "perfect": (np.array([5.0, 6.0]), np.array([0.0, 1.0, 2.0])),
    "chance": (RANDOM.normal(0, 1, 20), RANDOM.normal(0, 1, 30)),
    "reversed": (np.array([0.0, 1.0]), np.array([5.0, 6.0])),
    "one trial each": (np.array([1.0]), np.array([1.0])),
    "nothing finite": (np.full(3, -np.inf), np.full(4, -np.inf)),
    "infinite": (np.array([np.inf, 3.0]), np.array([-np.inf, 0.0])),
}


def picture(draw, *arguments, **options):
    """The pixels of what `draw` writes, (height, width, 3) in 0..1."""
    from matplotlib.image import imread

    stream = io.BytesIO()
    draw(stream, *arguments, **options)
    stream.seek(0)
    return imread(stream)[..., :3]


@pytest.mark.parametrize("name", CASES)
def test_every_picture_of_every_case_shows_something(name):
    scores = TrialScores(*CASES[name])
    for pixels in (
        picture(plot_det, {"system": scores}, title="a title " * 20, points=POINTS),
        picture(plot_roc, {"system": scores}),
        picture(plot_scores, scores, {"threshold": 1.0}),
        picture(plot_calibration, scores, POINTS[0]),
    ):
        assert min(pixels.shape[:2]) > 500
        blue = (pixels[..., 2] - pixels[..., 0]) > 0.3
        assert blue.sum() > 100  # the colour of the first curve, and of the targets


def test_same_scores_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        plot_det(tmp_path / name, {"system": TrialScores(*CASES["ordinary"])})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_systems_are_drawn_in_colours_of_their_own():
    first, second = TrialScores(*CASES["ordinary"]), TrialScores(*CASES["chance"])
    one = picture(plot_det, {"one": first})
    two = picture(plot_det, {"one": first, "two": second})
    orange = [((pixels[..., 0] - pixels[..., 2]) > 0.5).sum() for pixels in (one, two)]
    assert orange[0] == 0
    assert orange[1] > 100


def test_summary_is_json_and_the_line_reads_as_documented():
    summary = json.loads(json.dumps(summarize(*CASES["ordinary"])))
    assert set(summary["min_dcf"]) == {"0.01", "0.05"}
    line = summary_line({**summary, "eer": 0.0321}, 3200, 200)
    costs = [summary["min_dcf"][prior]["value"] for prior in ("0.01", "0.05")]
    assert line == (f"EER 3.21% | minDCF(.01) {costs[0]:.3f} | minDCF(.05) {costs[1]:.3f} | 3200 trials (200 target)")


@pytest.mark.parametrize("name", CASES)
def test_summary_of_every_case_is_strict_json(name):
    json.dumps(summarize(*CASES[name]), allow_nan=False)


def test_importing_the_measures_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, spkid.metrics; print(*[m for m in ('scipy', 'matplotlib', 'pandas', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


@pytest.mark.parametrize("classes", [2, 40, 100])
def test_a_confusion_matrix_is_darkest_where_the_counts_are(classes):
    counts = 9 * np.eye(classes, dtype=int) + 1
    pixels = picture(plot_confusion, counts, [f"speaker {index}" for index in range(classes)], "title")
    assert ((pixels[..., 2] - pixels[..., 0]) > 0.3).sum() > 100
