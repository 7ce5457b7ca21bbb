"""Sliding normalisation, whole and in chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.features import CmvnOptions, apply_cmvn_sliding, cmvn_window
from spkid.kaldi import InputError

OPTIONS = st.builds(
    CmvnOptions,
    cmn_window=st.integers(1, 40),
    min_cmn_window=st.integers(1, 40),
    norm_vars=st.booleans(),
    center=st.booleans(),
)


def features_of(frames: int, dims: int = 3) -> np.ndarray:
    return np.random.default_rng(frames).normal(5.0, 3.0, (frames, dims)).astype(np.float32)


def window_by_kaldi(row: int, total: int, options: CmvnOptions) -> tuple[int, int]:
    """SlidingWindowCmn's own steps, in its order."""
    if options.center:
        begin = row - options.cmn_window // 2
        end = begin + options.cmn_window
    else:
        begin, end = row - options.cmn_window, row + 1
    if begin < 0:
        begin, end = 0, end - begin
    if not options.center and end > row:
        end = max(row + 1, options.min_cmn_window)
    if end > total:
        begin, end = max(begin - (end - total), 0), total
    return begin, end


@given(st.integers(1, 60), OPTIONS)
def test_windows_are_kaldis(total, options):
    begins, ends = cmvn_window(np.arange(total), total, options)
    for row in range(total):
        assert cmvn_window(row, total, options) == window_by_kaldi(row, total, options) == (begins[row], ends[row])
        assert begins[row] <= row < ends[row]


@given(st.integers(1, 60), OPTIONS)
def test_values_are_those_of_each_window(total, options):
    features = features_of(total)
    normalized = apply_cmvn_sliding(features, options)
    assert normalized.dtype == np.float32
    for row in range(total):
        begin, end = window_by_kaldi(row, total, options)
        window = features[begin:end].astype(np.float64)
        expected = features[row] - window.mean(axis=0)
        if options.norm_vars:
            expected = expected / np.sqrt(window.var(axis=0)) if end - begin > 1 else 0.0 * expected
        np.testing.assert_allclose(normalized[row], expected, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 60), OPTIONS, st.data())
def test_a_chunk_gets_the_values_of_the_whole(total, options, data):
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    first = cmvn_window(start, total, options)[0]
    last = cmvn_window(stop - 1, total, options)[1]
    features = features_of(total)
    chunk = apply_cmvn_sliding(features[first:last], options, first=first, total=total, start=start, stop=stop)
    np.testing.assert_array_equal(chunk, apply_cmvn_sliding(features, options)[start:stop])


def test_a_chunk_without_its_context_is_refused():
    options = CmvnOptions(center=True, cmn_window=100)
    with pytest.raises(ValueError, match="rows 50 to 189 are needed"):
        apply_cmvn_sliding(features_of(40), options, first=100, total=1000, start=100, stop=140)


def test_a_constant_column_stays_finite():
    normalized = apply_cmvn_sliding(np.full((50, 2), 7.0, np.float32), CmvnOptions(norm_vars=True, center=True))
    assert np.all(normalized == 0)


def test_a_large_offset_costs_no_precision():
    """Sums are differences of running sums: in float32 they would lose everything here."""
    features = features_of(5000) + np.float32(1000)
    options = CmvnOptions(center=True, cmn_window=300)
    expected = apply_cmvn_sliding(features[2000:2600], options, first=2000, total=5000, start=2200, stop=2300)
    np.testing.assert_allclose(apply_cmvn_sliding(features, options)[2200:2300], expected, rtol=0, atol=1e-5)


def test_no_frames():
    assert apply_cmvn_sliding(np.zeros((0, 5), np.float32)).shape == (0, 5)


@pytest.mark.parametrize("choice", [{"cmn_window": 0}, {"min_cmn_window": 0}])
def test_impossible_options(choice):
    with pytest.raises(InputError, match="-window must be positive"):
        CmvnOptions(**choice)
