"""What is computed from neighbouring frames: deltas, splicing, voice activity, selection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.features import DeltaOptions, VadOptions, add_deltas, compute_vad, select_voiced, splice
from spkid.kaldi import InputError


def features_of(frames: int, dims: int = 3) -> np.ndarray:
    return np.random.default_rng(frames).normal(9.0, 4.0, (frames, dims)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 4))
def test_first_delta_is_the_slope_of_the_regression_line(frames, window):
    features = features_of(frames)
    deltas = add_deltas(features, DeltaOptions(delta_order=1, delta_window=window))
    np.testing.assert_array_equal(deltas[:, :3], features)
    steps = np.arange(-window, window + 1)
    for row in range(frames):
        around = features[np.clip(row + steps, 0, frames - 1)]
        expected = np.polyfit(steps, around.astype(np.float64), 1)[0]
        np.testing.assert_allclose(deltas[row, 3:], expected, rtol=1e-4, atol=1e-4)


def test_second_delta_is_the_delta_of_the_first_away_from_the_ends():
    features = features_of(40)
    deltas = add_deltas(features)
    twice = add_deltas(deltas[:, 3:6], DeltaOptions(delta_order=1))[:, 3:]
    np.testing.assert_allclose(deltas[4:-4, 6:], twice[4:-4], rtol=1e-4, atol=1e-4)


def test_no_deltas_and_no_frames():
    features = features_of(5)
    np.testing.assert_array_equal(add_deltas(features, DeltaOptions(delta_order=0)), features)
    assert add_deltas(features[:0]).shape == (0, 9)


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 5))
def test_splicing(frames, left, right):
    features = features_of(frames)
    spliced = splice(features, left, right)
    assert spliced.shape == (frames, 3 * (left + 1 + right))
    for row in range(frames):
        expected = [features[min(max(row + step, 0), frames - 1)] for step in range(-left, right + 1)]
        np.testing.assert_array_equal(spliced[row], np.concatenate(expected))


def test_splicing_ends():
    assert splice(features_of(5)[:0], 2, 1).shape == (0, 12)
    with pytest.raises(ValueError, match="negative"):
        splice(features_of(5), -1, 0)


@given(
    st.integers(1, 50),
    st.builds(
        VadOptions,
        vad_energy_threshold=st.floats(-5, 15),
        vad_energy_mean_scale=st.floats(0, 1),
        vad_frames_context=st.integers(0, 6),
        vad_proportion_threshold=st.sampled_from([0.12, 0.25, 0.5, 0.6, 0.9]),
    ),
)
def test_vad_by_its_definition(frames, options):
    features = features_of(frames)
    energy = features[:, 0].astype(np.float64)
    threshold = np.float32(options.vad_energy_threshold + options.vad_energy_mean_scale * energy.mean())
    decisions = compute_vad(features, options)
    for row in range(frames):
        around = features[max(row - options.vad_frames_context, 0) : row + options.vad_frames_context + 1, 0]
        needed = np.float32(len(around)) * np.float32(options.vad_proportion_threshold)
        assert decisions[row] == float(np.sum(around > threshold) >= needed)


def test_vad_of_nothing():
    assert compute_vad(np.zeros((0, 3), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "choice", [{"vad_proportion_threshold": 1.0}, {"vad_frames_context": -1}, {"vad_energy_mean_scale": -0.5}]
)
def test_impossible_vad_options(choice):
    with pytest.raises(InputError, match="--vad"):
        VadOptions(**choice)


def test_selection_refuses_what_does_not_fit():
    features = features_of(4)
    np.testing.assert_array_equal(select_voiced(features, np.array([0, 1, 0, 1.0])), features[[1, 3]])
    with pytest.raises(InputError, match="4 frames of features but 3 decisions"):
        select_voiced(features, np.zeros(3))
    with pytest.raises(InputError, match="0 or 1"):
        select_voiced(features, np.array([0, 1, 0.5, 1]))
