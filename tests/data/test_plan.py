"""What every sampler promises, for any sizes of speakers."""

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spkid.data.plan import SAMPLERS, EpochPlanner, occurrences
from spkid.kaldi import InputError

SIZES = st.lists(st.integers(1, 12), min_size=2, max_size=14)


def planner(sizes, sampler, micro_batch, **options):
    """A planner for speakers with so many utterances each, in no order, and the speaker of every utterance."""
    speakers = np.random.default_rng(5).permutation(np.repeat(np.arange(len(sizes)), sizes))
    options = {"chunk_frames": [20, 30], "seed": 0} | options
    return EpochPlanner(speakers, sampler=sampler, micro_batch=micro_batch, **options), speakers


def planned_or_refused(sizes, sampler, micro_batch, **options):
    """As planner, where the set fills a batch; other examples are left out."""
    try:
        return planner(sizes, sampler, micro_batch, **options)
    except InputError:
        assume(False)


@given(
    sizes=SIZES, sampler=st.sampled_from(SAMPLERS), groups=st.integers(1, 4), micro_batches=st.integers(1, 3),
    passes=st.integers(1, 3), cap=st.integers(0, 5), seed=st.integers(0, 3), epoch=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_every_plan(sizes, sampler, groups, micro_batches, passes, cap, seed, epoch):
    options = {"micro_batches": micro_batches, "chunks_per_utterance": passes, "max_per_speaker": cap, "seed": seed}
    made, speakers = planned_or_refused(sizes, sampler, groups * 6, **options)
    plan = made.plan(epoch)
    assert len(plan) == made.batches
    assert made.batches % micro_batches == 0
    assert plan.utterances.shape == plan.draws.shape == (made.batches, groups * 6)
    assert set(plan.frames) <= {20, 30}
    chunks = list(zip(plan.utterances.ravel(), plan.draws.ravel(), strict=True))
    assert len(set(chunks)) == len(chunks)  # no chunk is drawn twice
    again = planner(sizes, sampler, groups * 6, **options)[0].plan(epoch)
    assert all(np.array_equal(getattr(plan, name), getattr(again, name)) for name in ("utterances", "draws", "frames"))
    if cap:
        used = np.unique(plan.utterances)
        assert np.bincount(speakers[used]).max() <= cap


@given(sizes=SIZES, micro_batch=st.integers(2, 9), passes=st.integers(1, 3), cap=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_shuffled_draws_every_utterance_equally_often(sizes, micro_batch, passes, cap):
    options = {"chunks_per_utterance": passes, "max_per_speaker": cap}
    made, _ = planned_or_refused(sizes, "shuffled", micro_batch, **options)
    drawn = made.plan(0).utterances.ravel()
    assert len(drawn) == sum(min(size, cap or size) for size in sizes) * passes // micro_batch * micro_batch
    assert np.bincount(drawn).max() <= passes


@given(sizes=SIZES, micro_batch=st.integers(2, 20), passes=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_balanced_draws_every_speaker_equally_often(sizes, micro_batch, passes):
    made, speakers = planned_or_refused(sizes, "balanced", micro_batch, chunks_per_utterance=passes)
    plan = made.plan(0)
    counts = np.bincount(speakers[plan.utterances.ravel()], minlength=len(sizes))
    assert counts.max() - counts.min() <= 1
    for speaker in range(len(sizes)):  # and nobody's utterance a second time before all of theirs
        own = np.bincount(plan.utterances.ravel(), minlength=len(speakers))[speakers == speaker]
        assert own.max() - own.min() <= 1
    if len(sizes) >= micro_batch:
        assert all(len(set(speakers[row])) == micro_batch for row in plan.utterances)


@given(
    sizes=SIZES, width=st.integers(1, 6), each=st.integers(1, 4), passes=st.integers(1, 2), cap=st.integers(0, 6),
    epoch=st.integers(0, 4),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_speakers_by_utterances(sizes, width, each, passes, cap, epoch):
    made, speakers = planned_or_refused(
        sizes, "speakers_by_utterances", width * each,
        utterances_per_speaker=each, chunks_per_utterance=passes, max_per_speaker=cap,
    )  # fmt: skip
    assert made.group_size == each
    plan = made.plan(epoch)
    rows = speakers[plan.utterances].reshape(made.batches, width, each)
    assert (rows == rows[:, :, :1]).all()  # speaker-major
    assert all(len(set(row[:, 0])) == width for row in rows)  # never a speaker twice
    assert np.bincount(plan.utterances.ravel()).max() <= passes  # an utterance at most once a pass
    groups = plan.utterances.reshape(-1, each)
    assert all(len(set(group)) == each for group in groups)
    drawn = np.bincount(speakers[groups[:, 0]], minlength=len(sizes))
    room = np.array([min(size, cap or size) // each * passes for size in sizes])
    assert (drawn <= room).all()
    # not one batch more could be filled: the speakers have no more than this many turns in it
    assert np.minimum(room, made.batches + 1).sum() < (made.batches + 1) * width


@given(sizes=SIZES, width=st.integers(1, 6), passes=st.integers(1, 2), cap=st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_triplets_are_anchor_positive_negative(sizes, width, passes, cap):
    made, speakers = planned_or_refused(sizes, "triplets", 3 * width, chunks_per_utterance=passes, max_per_speaker=cap)
    plan = made.plan(0)
    triplets = plan.utterances.reshape(-1, 3)
    anchor, positive, negative = speakers[triplets].T
    assert (anchor == positive).all()
    assert (anchor != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    assert np.bincount(triplets[:, :2].ravel()).max() <= passes


def test_negatives_of_triplets_are_of_all_other_speakers_alike():
    made, speakers = planner([40, 20, 20], "triplets", 3)
    triplets = np.concatenate([made.plan(epoch).utterances for epoch in range(60)])
    of_first = speakers[triplets[speakers[triplets[:, 0]] == 0][:, 2]]
    assert 0.45 < (of_first == 1).mean() < 0.55
    of_second = speakers[triplets[speakers[triplets[:, 0]] == 1][:, 2]]
    assert 0.61 < (of_second == 0).mean() < 0.72  # 40 of 60 utterances


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds_and_epochs_change_the_order(sampler):
    plans = [
        planner([10] * 8, sampler, 12, seed=seed)[0].plan(epoch).utterances
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]  # fmt: skip
    assert not np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


@pytest.mark.parametrize("sampler", ["shuffled", "balanced", "speakers_by_utterances"])
def test_a_cap_chooses_other_utterances_every_epoch(sampler):
    made, _ = planner([30] * 6, sampler, 6, max_per_speaker=4)
    used = [set(made.plan(epoch).utterances.ravel()) for epoch in range(30)]
    assert all(len(one) == 24 for one in used)
    assert len(set.union(*used)) > 170


def test_everyone_meets_everyone():
    made, speakers = planner([8] * 12, "speakers_by_utterances", 8)
    met = np.zeros((12, 12), int)
    for epoch in range(40):
        for row in made.plan(epoch).utterances:
            present = np.unique(speakers[row])
            met[np.ix_(present, present)] += 1
    others = met[~np.eye(12, dtype=bool)]
    assert others.min() > 0.5 * others.mean()


def test_sets_too_small_are_one_sentence():
    with pytest.raises(InputError, match="6 training utterances do not fill one batch of 8 chunks: lower data"):
        planner([3, 3], "shuffled", 8)
    with pytest.raises(InputError, match=r"2 speakers have the 3 utterances .* and 4 different ones are wanted"):
        planner([3, 9, 2, 2, 1], "speakers_by_utterances", 12, utterances_per_speaker=3)
    with pytest.raises(InputError, match=r"data\.micro_batch is 10, but the sampler triplets fills it 3 chunks"):
        planner([3, 9], "triplets", 10)
    with pytest.raises(InputError, match="at least two speakers"):
        planner([9], "triplets", 3)
    with pytest.raises(InputError, match="0 speakers have the 2 utterances that the sampler triplets needs"):
        planner([1, 1, 1, 1], "triplets", 3)


@given(st.lists(st.integers(0, 9), max_size=40))
def test_occurrences_count_what_stood_before(values):
    assert occurrences(np.array(values, int)).tolist() == [values[:place].count(v) for place, v in enumerate(values)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_epoch_of_a_million_utterances_is_planned_in_two_seconds(sampler):
    speakers = np.random.default_rng(0).integers(0, 6000, 1_100_000)
    made = EpochPlanner(speakers, sampler=sampler, micro_batch=240, chunk_frames=[200], seed=0, max_per_speaker=100)
    started = time.process_time()
    plan = made.plan(0)
    assert time.process_time() - started < 2
    assert len(plan) > 2000
