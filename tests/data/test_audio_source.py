"""Audio by the part, crops of it, and features straight from it."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.audio import WaveOptions, resample, write_wav
from spkid.audio.resampling import resample_part, resampled_length
from spkid.data.audio_options import audio_options, crop_samples, recorded_options
from spkid.data.audio_source import AudioSource, SpeechAudio, SpeechFrames, open_audio
from spkid.data.batches import chunk_rng, read_chunk
from spkid.data.crops import Cropper
from spkid.data.front_end import FrontEnd, read_record
from spkid.data.source import FeatureSource, open_source
from spkid.features import FbankOptions, FrameOptions, fbank, num_frames
from spkid.features.frames import first_sample
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, TableWriter, read_script, write_id_map
from tests.data.audio_data import RATE, archive, make_audio, voice, write_vad
from tests.shared import REPOSITORY, corpora

OPTIONS = WaveOptions(rate=RATE)
FBANK = {"num_mel_bins": 20, "snip_edges": False, "low_freq": 20.0, "high_freq": 7600.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "train")


@pytest.fixture(scope="module")
def source(data):
    return AudioSource(data, OPTIONS)


def options(**changes) -> FbankOptions:
    return audio_options("fbank", {**FBANK, **changes})


# Audio


def test_any_part_is_what_the_whole_has_there(source):
    for index in range(len(source)):
        whole = source.whole(index)
        assert len(whole) == source.length(index)
        assert whole.dtype == np.float32
        assert np.array_equal(source.rows(index, 1000, 5003), whole[1000:5003])
        assert np.array_equal(source.rows(index, len(whole) - 7, len(whole)), whole[-7:])


def test_commands_archives_segments_and_channels(tmp_path):
    one, two = voice(1, 0.5), voice(2, 0.7)
    archive(tmp_path, {"recording-a": one})
    in_archive = read_script(tmp_path / "wav.scp")["recording-a"]
    write_wav(str(tmp_path / "stereo.wav"), np.stack([one, two[: len(one)]], axis=1), RATE)
    lines = {"recording-a": in_archive, "recording-b": f"cat {tmp_path}/stereo.wav |"}
    write_id_map(tmp_path / "wav.scp", lines)
    write_id_map(
        tmp_path / "segments",
        {"utt1": "recording-a 0.1 0.3", "utt2": "recording-b 0.2 0.4 1", "utt3": "recording-a 0.25 -1"},
    )
    source = AudioSource(tmp_path, OPTIONS)
    assert source.ids == ["utt1", "utt2", "utt3"]
    assert source.num_frames.tolist() == [3200, 3200, 4000]
    near = {"rtol": 0, "atol": 2e-5}  # 16-bit files
    np.testing.assert_allclose(source.whole(0), one[1600:4800], **near)
    np.testing.assert_allclose(source.rows(1, 100, 200), two[3300:3400], **near)
    np.testing.assert_allclose(source.whole(2), one[4000:], **near)


@given(
    samples=st.integers(1, 700),
    rates=st.sampled_from([(8000, 16000), (44100, 16000), (16000, 8000), (22050, 16000), (11, 10)]),
    data=st.data(),
)
@settings(max_examples=120, deadline=None)
def test_a_part_of_a_resampled_recording_is_what_the_whole_has_there(samples, rates, data):
    wave = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    whole = resample(wave, *rates)
    assert len(whole) == resampled_length(samples, *rates)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    if start < stop:
        part = resample_part(lambda first, last: wave[first:last], samples, *rates, start, stop)
        np.testing.assert_allclose(part, whole[start:stop], rtol=0, atol=1e-5)


def test_other_rates_are_refused_or_resampled(tmp_path):
    data = make_audio(tmp_path / "low", rate=8000, durations=False)
    with pytest.raises(InputError, match=r"utterance spk00-utt00: .*sampled at 8000 Hz, 16000 Hz is wanted"):
        AudioSource(data, OPTIONS)
    source = AudioSource(data, WaveOptions(rate=RATE, allow_upsample=True))
    whole = resample(voice(0, 0.5, 8000), 8000, 16000)
    np.testing.assert_allclose(source.whole(0), whole, rtol=0, atol=1e-3)
    assert np.array_equal(source.rows(0, 3000, 4000), source.whole(0)[3000:4000])


def test_lengths_come_from_utt2dur_and_exact_ones_from_files(data, source):
    exact = AudioSource(data, OPTIONS, exact=True)
    assert [exact.length(index) for index in range(len(exact))] == exact.num_frames.tolist()
    assert np.abs(source.num_frames - exact.num_frames).max() <= 0.005 * RATE
    kept = source.subset(source.num_frames > RATE)
    assert 0 < len(kept) < len(source)
    assert np.array_equal(kept.whole(0), source.whole(source.ids.index(kept.ids[0])))


def test_a_bad_wave_is_named_and_the_others_are_read(tmp_path):
    data = make_audio(tmp_path / "train", durations=False)
    (data / "spk01-utt01.wav").write_bytes(b"RIFF0000WAVEnothing")
    (data / "spk02-utt00.wav").unlink()
    with pytest.raises(InputError, match=r"utterance spk01-utt01: .*spk01-utt01\.wav"):
        AudioSource(data, OPTIONS)
    failed = {}
    source = AudioSource(data, OPTIONS, failed=failed)
    assert sorted(failed) == ["spk01-utt01", "spk02-utt00"]
    assert len(source) == 10
    with pytest.raises(InputError, match=r"wav\.scp: has no entry for utterance nobody"):
        AudioSource(data, OPTIONS, ["nobody"])


def test_a_wave_that_breaks_while_training_names_file_and_utterance(tmp_path):
    data = make_audio(tmp_path / "train")
    source = AudioSource(data, OPTIONS)
    path = data / "spk00-utt03.wav"
    os.truncate(path, 4000)
    with pytest.raises(InputError, match=r"utterance spk00-utt03: .*spk00-utt03\.wav"):
        source.whole(source.ids.index("spk00-utt03"))


def test_several_processes_read_the_same_open_files(source):
    expected = [source.rows(index, 100, 4100) for index in range(len(source))]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.starmap(source.rows, [(index, 100, 4100) for index in range(len(source))] * 5, chunksize=1)
    assert all(np.array_equal(left, right) for left, right in zip(found, expected * 5, strict=True))
    assert np.array_equal(pickle.loads(pickle.dumps(source)).whole(2), source.whole(2))


# Crops


def lengths(source) -> dict[str, int]:
    return {name: source.length(index) for index, name in enumerate(source.ids)}


@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("frames", [10, 60, 230])  # 230 frames are more than any utterance has
@pytest.mark.parametrize("vad", [False, True])
def test_features_of_a_crop_are_rows_of_the_features_of_the_utterance(tmp_path, source, data, snip_edges, frames, vad):
    made = options(snip_edges=snip_edges)
    write_vad(tmp_path, lengths(source), made)
    features = {name: fbank(source.whole(index), made) for index, name in enumerate(source.ids)}
    with TableWriter(f"ark,scp:{tmp_path}/feats.ark,{tmp_path}/feats.scp", MATRIX) as writer:
        for name, matrix in features.items():
            writer.write(name, matrix)
    written = FeatureSource(tmp_path, ["vad"] if vad else [])
    cropper = Cropper(source, made, SpeechFrames(tmp_path) if vad else None)
    inside = options(snip_edges=True)
    for index, name in enumerate(source.ids):
        expected = read_chunk(written, index, frames, chunk_rng(0, 0, name, 0))
        crop = cropper.draw(index, frames, chunk_rng(0, 0, name, 0))
        found = fbank(crop.wave, inside)
        found = found if crop.frames is None else found[crop.frames]
        assert found.shape == (frames, 20)
        assert np.array_equal(found, expected)


def test_a_crop_without_gaps_is_just_as_long_as_its_frames(source):
    crop = Cropper(source, options()).draw(3, 50, chunk_rng(0, 0, "x", 0))
    assert crop.frames is None
    assert len(crop.wave) == 50 * 160 + 240


@pytest.mark.parametrize("kind", ["waveform", "speechbrain_fbank", "deep_speaker_fbank"])
def test_crops_of_samples(source, kind):
    made = audio_options(kind, {})
    cropper = Cropper(source, made)
    wanted = {"waveform": 50 * 160 + 240, "speechbrain_fbank": 49 * 160, "deep_speaker_fbank": 51 * 160}[kind]
    assert crop_samples(made, 50) == wanted
    starts = set()
    for draw in range(20):
        wave = cropper.draw(3, 50, chunk_rng(0, 0, "x", draw)).wave
        whole = source.whole(3)
        (start,) = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(whole, wanted) == wave).all(axis=1))
        starts.add(int(start))
    assert len(starts) > 15
    long = cropper.draw(0, 300, chunk_rng(0, 0, "x", 0)).wave  # the utterance is repeated
    assert np.array_equal(long, np.resize(source.whole(0), len(long)))


@pytest.mark.parametrize("snip_edges", [True, False])
def test_speech_of_waveforms_is_laid_end_to_end(tmp_path, source, snip_edges):
    frames = FrameOptions(snip_edges=snip_edges)
    write_vad(tmp_path, lengths(source), frames)
    failed = {}
    speech = SpeechAudio(source, SpeechFrames(tmp_path), FrameOptions(), failed)
    assert not failed
    for index, name in enumerate(source.ids):
        whole, kept = source.whole(index), speech.whole(index)
        count = num_frames(len(whole), frames)
        voiced = SpeechFrames(tmp_path).read(name, count)
        middle = [first_sample(one, frames) + 200 for one in range(count)]
        parts = [
            whole[0 if one == 0 else middle[one] - 80 : None if one + 1 == count else middle[one] + 80]
            for one in voiced
        ]
        assert np.array_equal(kept, np.concatenate(parts))
        assert len(kept) == speech.num_frames[index] == speech.length(index)
        assert np.array_equal(speech.rows(index, 300, 1500), kept[300:1500])


@pytest.mark.parametrize("speed", [0.9, 1.1])
@pytest.mark.parametrize("vad", [False, True])
def test_another_speed_changes_pitch_and_length(tmp_path, speed, vad):
    time = np.arange(3 * RATE) / RATE
    archive(tmp_path, {"tone": (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)})
    source, made = AudioSource(tmp_path, OPTIONS), options()
    write_vad(tmp_path, lengths(source), made)
    crop = Cropper(source, made, SpeechFrames(tmp_path) if vad else None).draw(0, 100, chunk_rng(0, 0, "x", 0), speed)
    if vad:
        assert crop.frames.shape == (100,)
        assert (crop.frames < num_frames(len(crop.wave), options(snip_edges=True))).all()
        return
    assert len(crop.wave) == 100 * 160 + 240
    spectrum = np.abs(np.fft.rfft(crop.wave[1000:-1000] * np.hanning(len(crop.wave) - 2000)))
    peak = np.argmax(spectrum) * RATE / (len(crop.wave) - 2000)
    assert peak == pytest.approx(1000 * speed, abs=3)


def test_utterances_without_speech_or_frames_are_named(tmp_path):
    archive(tmp_path, {"short": voice(0, 0.01), "long": voice(1, 1.0)})
    source, made = AudioSource(tmp_path, OPTIONS), options(snip_edges=True)
    with pytest.raises(InputError, match="utterance short: has 160 samples, less than one frame"):
        Cropper(source, made).draw(0, 10, chunk_rng(0, 0, "x", 0))
    write_vad(tmp_path, {"long": 8000}, made)
    with pytest.raises(InputError, match=r"utterance long has 48 decisions, but its audio has 98 frames"):
        Cropper(source, made, SpeechFrames(tmp_path)).draw(1, 10, chunk_rng(0, 0, "x", 0))
    with pytest.raises(InputError, match=r"vad\.scp: has no entry for utterance short"):
        SpeechFrames(tmp_path).read("short", 1)


# Features straight from audio


@pytest.mark.parametrize(
    "transforms",
    [[], ["cmn_utterance"], ["cmn_sliding_30"], ["vad", "cmn_utterance"], ["cmn_sliding_30", "vad"], ["vad"]],
)
def test_features_from_audio_are_those_of_feats_scp(with_features, transforms):
    record = read_record(with_features)
    front_end = FrontEnd("fbank", audio_record(num_mel_bins=20, snip_edges=False), transforms, 20)
    front_end.check(record, with_features)
    failed = {}
    found = open_audio(front_end, with_features, None, failed)
    expected = open_source(with_features, record, transforms)
    assert not failed
    assert found.ids == expected.ids
    assert found.dims == expected.dims
    assert found.num_frames.tolist() == expected.num_frames.tolist()
    for index in range(len(found)):
        np.testing.assert_allclose(found.whole(index), expected.whole(index), rtol=0, atol=2e-6)
        assert np.array_equal(found.rows(index, 2, 9), found.whole(index)[2:9])
    part = found.subset(np.arange(len(found)) == 4)
    assert np.array_equal(part.whole(0), found.whole(4))


@pytest.fixture(scope="module")
def with_features(tmp_path_factory):
    """Audio, its features as steps/make_fbank.py makes them, and decisions on speech."""
    folder = tmp_path_factory.mktemp("features")
    data = make_audio(folder / "train", speakers=2, utterances=3)
    (folder / "fbank.conf").write_text("--num-mel-bins=20\n--snip-edges=false\n--allow-downsample=true\n")
    words = ["--nj", "1", "--compress", "false", "--fbank-config", folder / "fbank.conf", data]
    subprocess.run([sys.executable, "steps/make_fbank.py", *words], cwd=REPOSITORY, check=True, capture_output=True)
    write_vad(data, lengths(AudioSource(data, OPTIONS)), options())
    return data


def audio_record(**values) -> dict:
    return recorded_options(audio_options("fbank", values))


def test_a_network_trained_on_audio_refuses_features_made_otherwise(with_features, tmp_path):
    record = read_record(with_features)
    front_end = FrontEnd("fbank", audio_record(num_mel_bins=20, snip_edges=False), ["cmn_utterance"], 20)
    for key, value in (("num_mel_bins", 21), ("subtract_mean", True), ("window_type", "hamming"), ("vtln_warp", 0.9)):
        with pytest.raises(InputError, match=f"{key}={value}"):
            front_end.check(replace(record, options={**record.options, key: value}), with_features)
    with pytest.raises(InputError, match="the features are mfcc"):
        front_end.check(replace(record, type="mfcc"), with_features)
    data = make_audio(tmp_path / "train", speakers=1)
    found = FrontEnd("fbank", audio_record(), ["vad"], 23, {"method": "energy", "vad_energy_threshold": 5.0})
    (data / "vad.json").write_text('{"method": "energy", "vad_energy_threshold": 5.5}')
    with pytest.raises(InputError, match=r"vad\.json: speech was found with vad_energy_threshold=5\.5"):
        open_audio(found, data, None, {})


def test_speech_may_be_found_in_resampled_audio_but_not_in_other_features(tmp_path):
    def record(kind="mfcc", **options):
        made = recorded_options(audio_options(kind, options))
        return {"method": "energy", "feature_type": kind, "feature_options": made}

    front_end = FrontEnd("fbank", audio_record(), ["vad"], 23, record())
    (tmp_path / "vad.json").write_text(json.dumps(record(allow_downsample=True, allow_upsample=True)))
    front_end.check_speech(tmp_path)
    for other, named in (
        (record(num_ceps=12), r"feature_options\.num_ceps=12, but .*=13;"),
        (record("fbank"), "_type=fbank"),
    ):
        (tmp_path / "vad.json").write_text(json.dumps(other))
        with pytest.raises(InputError, match=named):
            front_end.check_speech(tmp_path)


def test_other_kinds_for_extraction(data, tmp_path):
    waves = open_audio(FrontEnd("waveform", {"sample_frequency": 16000}, [], 1), data, None, {})
    assert np.array_equal(waves.rows(1, 5, 50), waves.whole(1)[5:50])
    decibels = open_audio(FrontEnd("speechbrain_fbank", {"n_mels": 80}, ["cmn_utterance"], 80), data, None, {})
    for index in range(len(decibels)):
        assert decibels.whole(index).shape == (decibels.num_frames[index], 80)
        np.testing.assert_allclose(decibels.whole(index).mean(axis=0), 0, atol=1e-4)
    by_frame = open_audio(FrontEnd("deep_speaker_fbank", {}, ["cmvn_frame"], 64), data, None, {})
    assert by_frame.whole(1).shape == (by_frame.num_frames[1], 64)
    np.testing.assert_allclose(by_frame.whole(1).std(axis=1), 1, atol=1e-4)
    normalized = open_audio(FrontEnd("mfcc", {}, ["cmvn_utterance"], 13), data, None, {})
    np.testing.assert_allclose(normalized.whole(0).std(axis=0, ddof=1), 1, atol=1e-5)
    failed = {}
    (tmp_path / "wav.scp").write_text("bad nowhere.wav\n")
    assert len(open_audio(FrontEnd("mfcc", {}, [], 13), tmp_path, None, failed)) == 0
    assert "nowhere.wav" in failed["bad"]
    with pytest.raises(InputError, match="nobody recorded how the mfcc of the network's training were made"):
        open_audio(FrontEnd("mfcc", None, [], 13), data, None, {})
    with pytest.raises(InputError, match="features of type plp cannot be computed from audio"):
        open_audio(FrontEnd("plp", {}, [], 13), data, None, {})


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        ("fbank", {"num_mel_bin": 3}, "unknown key 'num_mel_bin' of fbank .did you mean 'num_mel_bins'"),
        ("fbank", {"num_mel_bins": "many"}, r"fbank\.num_mel_bins must be a whole number, not 'many'"),
        ("fbank", {"dither": 1.0}, "dither: must be 0"),
        ("fbank", {"subtract_mean": True}, "subtract_mean=True cannot be computed"),
        ("mfcc", {"num_ceps": 100}, "mfcc: "),
        ("waveform", {"n_mels": 3}, "unknown key 'n_mels' of waveform"),
        ("speechbrain_fbank", {"sample_frequency": 8000}, "defined at 16000 Hz"),
        ("deep_speaker_fbank", {"sample_frequency": 8000}, "deep_speaker_fbank is defined at 16000 Hz"),
    ],
)
def test_options_that_cannot_be(kind, values, sentence):
    with pytest.raises(InputError, match=sentence):
        audio_options(kind, values)


def test_the_shared_corpus_is_read_by_the_part(tmp_path):
    corpus = corpora("speechocean762")
    lines = (corpus / "train" / "wav.scp").read_text().split("\n")[:20]
    write_id_map(tmp_path / "wav.scp", {name: str(corpus / path) for name, path in map(str.split, lines)})
    source = AudioSource(tmp_path, OPTIONS)
    for index in range(len(source)):
        assert np.array_equal(source.rows(index, 9000, 20000), source.whole(index)[9000:20000])
