"""Rooms and noises: against the definition, and wav-reverberate as a command on files."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.audio import read_audio, write_wav
from spkid.audio.noise import Noise, add_noise, corrupt
from spkid.audio.reverberation import LEAST_BLOCK, convolve, early_response, power, reverberate
from spkid.bin import wav_reverberate
from tests.shared import REPOSITORY

RATE = 8000


def signal_of(seed, length, level=0.1):
    return (level * np.random.default_rng(seed).normal(size=length)).astype(np.float32)


def room(seed=0, taps=1200, peak=40):
    """An impulse response that decays, with its direct sound at `peak`."""
    response = signal_of(seed, taps, 0.2) * np.exp(-np.arange(taps) / 200)
    response[:peak] = 0
    response[peak] = 1
    return response.astype(np.float32)


@settings(max_examples=40)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 100))
def test_convolution(length, taps, seed):
    signal, response = signal_of(seed, length, 1), signal_of(seed + 1, taps, 1)
    ours = convolve(signal, response)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, np.convolve(signal.astype(np.float64), response), atol=1e-3)


@pytest.mark.parametrize("taps", [1, 2, 500, 20000])
def test_convolution_in_blocks(taps):
    signal, response = signal_of(1, 3 * max(LEAST_BLOCK, 3 * taps) + 17, 1), signal_of(2, taps, 1)
    expected = np.convolve(signal[:5000].astype(np.float64), response)[:5000]
    ours = convolve(signal, response)
    assert ours.size == signal.size + taps - 1
    np.testing.assert_allclose(ours[:5000], expected, atol=2e-3)
    # The end of a convolution is the beginning of that of the reversed signals.
    expected = np.convolve(signal[::-1][:5000].astype(np.float64), response[::-1])[:5000]
    np.testing.assert_allclose(ours[::-1][:5000], expected, atol=2e-3)


def test_early_response_is_around_the_peak():
    response = np.arange(1000, 0, -1.0)
    response[300] = 2000
    np.testing.assert_array_equal(early_response(response, RATE), response[292:700])
    np.testing.assert_array_equal(early_response(response[:310], RATE), response[292:310])
    np.testing.assert_array_equal(early_response(np.array([1.0, 0.5]), RATE), [1.0, 0.5])


@given(st.integers(0, 100), st.floats(-10, 40), st.floats(0, 0.4))
def test_a_noise_has_the_ratio_it_was_given(seed, snr, start):
    signal, noise = signal_of(seed, 4000), signal_of(seed + 1, 800, 0.7)
    added = add_noise(signal, Noise(noise, snr, start), RATE).astype(np.float64) - signal
    begin = int(np.float32(start) * RATE)
    assert not added[:begin].any()
    assert not added[begin + 800 :].any()
    assert 10 * np.log10(power(signal) / power(added[begin : begin + 800])) == pytest.approx(snr, abs=1e-3)


def test_noises_beyond_the_end_are_cut_off():
    signal = signal_of(0, 1000)
    noise = Noise(signal_of(1, 5000), 3.0, 0.1)
    long = add_noise(np.concatenate((signal, np.zeros(5000, np.float32))), noise, RATE, power(signal))
    np.testing.assert_array_equal(add_noise(signal, noise, RATE), long[:1000])
    np.testing.assert_array_equal(add_noise(signal, noise._replace(start=9.0), RATE), signal)


def by_definition(signal, response, noises, normalize=True, volume=0.0):
    """The whole reverberated and noisy signal, before it is cut: the steps of wav-reverberate.cc, in doubles."""
    signal, response = signal.astype(np.float64), response.astype(np.float64)
    peak = np.argmax(response)
    early = response[max(int(peak - 0.001 * RATE), 0) : int(peak + 0.05 * RATE)]
    early_power = np.mean(np.convolve(signal, early) ** 2)
    result = np.convolve(signal, response)
    for noise in noises:
        scaled = noise.samples * np.sqrt(10 ** (-noise.snr / 10) * early_power / np.mean(noise.samples**2.0))
        begin = int(noise.start * RATE)
        end = min(begin + len(scaled), len(result))
        result[begin:end] += scaled[: end - begin]
    if volume:
        return result * volume
    return result * np.sqrt(np.mean(signal**2) / np.mean(result**2)) if normalize else result


class TestCorrupt:
    signal, response = signal_of(3, 6000), room()
    noises = (Noise(signal_of(4, 2000), 10.0, 0.25), Noise(signal_of(5, 9000), 0.0, 0.5))

    @pytest.mark.parametrize("level", [{}, {"normalize": False}, {"volume": 0.3}])
    def test_equal_to_the_definition(self, level):
        expected = by_definition(self.signal, self.response, self.noises, **level)
        options = {"response": self.response, "noises": self.noises, **level}
        whole = corrupt(self.signal, RATE, shift=False, **options)
        np.testing.assert_allclose(whole, expected, atol=1e-5)
        shifted = corrupt(self.signal, RATE, **options)
        np.testing.assert_allclose(shifted, expected[40:6040], atol=1e-5)
        longer = corrupt(self.signal, RATE, duration=1.0, **options)
        np.testing.assert_array_equal(longer, np.concatenate((shifted, shifted[:2000])))
        np.testing.assert_array_equal(corrupt(self.signal, RATE, duration=0.5, **options), shifted[:4000])

    def test_without_a_room_and_noises_nothing_changes(self):
        np.testing.assert_array_equal(corrupt(self.signal, RATE), self.signal)
        np.testing.assert_array_equal(corrupt(self.signal, RATE, shift=False), self.signal)
        np.testing.assert_array_equal(corrupt(self.signal, RATE, duration=2.0)[6000:12000], self.signal)

    def test_a_room_of_one_reflection_delays(self):
        response = np.zeros(100, np.float32)
        response[60] = 0.5
        level = np.sqrt(6099 / 6000)  # the power is that of the whole convolution, silence included
        np.testing.assert_allclose(corrupt(self.signal, RATE, response=response), level * self.signal, atol=1e-6)
        late, early_power = reverberate(self.signal, response, RATE)
        np.testing.assert_allclose(late[60 : 60 + 6000], self.signal / 2, atol=1e-6)
        assert early_power == pytest.approx(power(self.signal) / 4 * 6000 / (6000 + 48 - 1), rel=1e-4)

    def test_silence_stays_silent(self):
        silence = np.zeros(1000, np.float32)
        assert not corrupt(silence, RATE, response=self.response, noises=self.noises).any()

    @pytest.mark.parametrize(
        ("signal", "options", "sentence"),
        [
            (np.empty(0, np.float32), {}, "no signal"),
            (signal, {"response": np.empty(0, np.float32)}, "impulse response"),
            (signal, {"noises": [Noise(np.zeros(10), 3.0)]}, "all zero"),
            (signal, {"noises": [Noise(np.ones(10), 3.0, -1.0)]}, "before the signal"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, signal, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            corrupt(signal, RATE, **options)


class TestTool:
    @pytest.fixture
    def files(self, tmp_path):
        """speech.wav (one channel), room.wav and noise.wav (two channels each), other.wav (another rate)."""
        write_wav(f"{tmp_path}/speech.wav", signal_of(3, 6000), RATE)
        write_wav(f"{tmp_path}/room.wav", np.stack([room(1) / 2, room(2, peak=70) / 2], axis=1), RATE)
        write_wav(f"{tmp_path}/noise.wav", np.stack([signal_of(6, 1000), signal_of(7, 1000)], axis=1), RATE)
        write_wav(f"{tmp_path}/other.wav", signal_of(8, 1000), 16000)
        return tmp_path

    def both(self, files, channel):
        """The corrupted speech as the library makes it."""
        speech = read_audio(f"{files}/speech.wav")[0]
        response = read_audio(f"{files}/room.wav", channel=channel)[0]
        noise = read_audio(f"{files}/noise.wav", channel=channel)[0]
        noises = [Noise(noise, 10.0, 0.1), Noise(noise, 3.0, 0.5)]
        return corrupt(speech, RATE, response=response, noises=noises)

    @pytest.mark.parametrize("channel", [0, 1])
    def test_options(self, files, channel):
        status = wav_reverberate.main(
            [
                f"--impulse-response=cat {files}/room.wav |",
                f"--additive-signals={files}/noise.wav,cat {files}/noise.wav |",
                "--snrs=10,3",
                "--start-times=0.1,0.5",
                f"--rir-channel={channel}",
                f"--noise-channel={channel}",
                f"{files}/speech.wav",
                f"{files}/out.wav",
            ]
        )
        assert status == 0
        samples, rate = read_audio(f"{files}/out.wav")
        assert rate == RATE
        np.testing.assert_allclose(samples, self.both(files, channel), atol=1 / 32768)

    def test_channels(self, files):
        options = ["--multi-channel-output=true", f"--impulse-response={files}/room.wav"]
        options += [f"--additive-signals={files}/noise.wav,{files}/noise.wav", "--snrs=10,3", "--start-times=0.1,0.5"]
        assert wav_reverberate.main([*options, f"{files}/speech.wav", f"{files}/out.wav"]) == 0
        for channel in (0, 1):
            samples = read_audio(f"{files}/out.wav", channel=channel)[0]
            np.testing.assert_allclose(samples, self.both(files, channel), atol=1 / 32768)

    def test_in_a_pipe(self, files):
        # As the lines that reverberate_data_dir.py and augment_data_dir.py of Kaldi put into wav.scp.
        tool = f"{sys.executable} -m spkid.bin.wav_reverberate"
        line = (
            f"cat {files}/speech.wav | {tool} --shift-output=true --impulse-response='cat {files}/room.wav |' "
            f"--additive-signals='{tool} --duration=1.5 \"{files}/noise.wav\" - |' --start-times='0' --snrs='10' - - |"
        )
        (files / "wav.scp").write_text(f"u {line}\n")
        copied = subprocess.run(
            [sys.executable, "-m", "spkid.bin.wav_copy", f"scp:{files}/wav.scp", f"ark:{files}/out"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert copied.returncode == 0, copied.stderr
        samples = read_audio(f"{files}/out:2")[0]
        noise = np.resize(read_audio(f"{files}/noise.wav", channel=0)[0], 12000)
        speech, response = (read_audio(f"{files}/{name}.wav", channel=0)[0] for name in ("speech", "room"))
        expected = corrupt(speech, RATE, response=response, noises=[Noise(noise, 10.0)])
        np.testing.assert_allclose(samples, expected, atol=2 / 32768)

    def test_clipping_is_said(self, files, capfd):
        assert wav_reverberate.main(["--volume=30", f"{files}/speech.wav", f"{files}/out.wav"]) == 0
        assert "samples were clipped" in capfd.readouterr().err

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--impulse-response={}/other.wav"], "is sampled at 16000 Hz"),
            (["--impulse-response={}/none.wav"], "none.wav"),
            (["--additive-signals={}/noise.wav"], "--snrs has 0 values for 1"),
            (["--additive-signals={}/noise.wav", "--snrs=loud", "--start-times=0"], "numbers between commas"),
            (["--additive-signals={}/noise.wav", "--snrs=nan", "--start-times=0"], "numbers between commas"),
            (["--additive-signals={}/noise.wav", "--snrs=1", "--start-times=-2"], "before the signal"),
            (["--input-wave-channel=1"], "no channel 1"),
            (["--multi-channel-output=true"], "takes its channels from"),
        ],
    )
    def test_mistakes_are_named(self, files, capfd, options, sentence):
        options = [option.format(files) for option in options]
        assert wav_reverberate.main([*options, f"{files}/speech.wav", f"{files}/out.wav"]) == 1
        error = capfd.readouterr().err.splitlines()[-1]
        assert error.startswith("ERROR (wav-reverberate)")
        assert sentence in error
        assert not (files / "out.wav").exists()
