"""What the report says about scores of known kinds, as text, Markdown and HTML."""

import numpy as np
import pytest

from spkid.metrics import OperatingPoint, TrialScores
from spkid.metrics.decision import decide
from spkid.metrics.markdown import escape, fenced, markdown_report, markdown_table
from spkid.metrics.report import html_report
from spkid.metrics.sections import Table, headline, percent, sections
from spkid.metrics.summary import summarize

RANDOM = np.random.default_rng(0)
RATIOS = RANDOM.normal(4, 8**0.5, 20_000), RANDOM.normal(-4, 8**0.5, 40_000)  # their own log-likelihood ratios
COSINES = np.tanh(RATIOS[0] / 10), np.tanh(RATIOS[1] / 10)


def results_of(targets, nontargets, prior=0.05):
    scores = TrialScores(targets, nontargets)
    trials = {"file": "t", "md5": "0", "count": 9, "targets": 4, "nontargets": 5, "without_score": 1}
    return {
        **summarize(scores),
        "decision": decide(scores, OperatingPoint(prior)),
        "trials": {**trials, "repeated": 0, "self_comparisons": 0},
        "scores": {"file": "s", "unused_lines": 0},
        "versions": {"numpy": "2"},
        "command": "evaluate.py a b c",
    }


def advice(results):
    return " ".join(sections(results)[0].paragraphs)


@pytest.mark.parametrize("prior", [0.01, 0.3])
def test_calibrated_scores_are_told_from_others(prior):
    assert "These scores are close to that." in advice(results_of(*RATIOS, prior))
    for scaled in (COSINES, (3 * RATIOS[0], 3 * RATIOS[1]), (RATIOS[0] + 2, RATIOS[1] + 2)):
        assert "Calibrate them first." in advice(results_of(*scaled, prior))


def test_useless_scores_are_called_so():
    assert "accept nothing" in advice(results_of([0.0, 0.0], [0.0, 0.0], 0.01))
    assert "accept everything" in advice(results_of([-np.inf], [-np.inf], 0.99))
    noise = RANDOM.normal(size=(2, 500))
    assert "hardly help" in advice(results_of(*noise, 0.4))


def test_small_rates_keep_digits():
    assert [percent(rate) for rate in (0, 0.5, 0.0123, 0.00012, None)] == ["0.00%", "50.00%", "1.23%", "0.012%", "–"]


def test_the_headline_counts_scored_trials():
    found = {name: (value, remark) for name, value, remark in headline(results_of(*RATIOS))}
    assert found["Trials scored"] == ("8", "4 target trials in the list")


def test_markdown_stands_for_itself():
    assert escape("a|b <c> *d*\ne_`f`") == r"a\|b \<c\> \*d\* e\_\`f\`"
    assert fenced("a ``` b").startswith("````\n")
    lines = markdown_table(Table(("n", "x"), [("long|name", "1"), ("b", "22")])).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ---------- | --: |"


def test_reports_without_intervals_have_no_empty_columns():
    results = results_of(*COSINES)
    assert "interval" not in markdown_report("x", results)
    page = html_report("x < y", results, {})
    assert "<title>x &lt; y</title>" in page
    assert "<img" not in page
    assert "Deep Speaker" in page  # the grid's equal error rate, since cosines fit the grid
    assert "Deep Speaker" not in html_report("x", results_of(*RATIOS), {})
