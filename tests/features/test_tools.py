"""The feature tools as commands on files."""

import json
from pathlib import Path

import numpy as np
import pytest

from spkid.audio import write_wav
from spkid.bin import (
    add_deltas,
    apply_cmvn_sliding,
    compute_fbank_feats,
    compute_mfcc_feats,
    compute_spectrogram_feats,
    compute_vad,
    select_voiced_frames,
)
from spkid.features import FbankOptions, MfccOptions, fbank, mfcc, num_frames, spectrogram
from spkid.features.htk import HtkHolder
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_id_map, read_table
from tests.features.reference import speech_like
from tests.shared import golden


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with wav.scp of three utterances, the current one: a is 0.5 s, b 1 s, c 20 ms (no frame)."""
    monkeypatch.chdir(tmp_path)
    script = ""
    for name, samples in {"a": 8000, "b": 16000, "c": 320}.items():
        write_wav(f"{name}.wav", speech_like(samples, ord(name)), 16000)
        script += f"{name} {name}.wav\n"
    Path("wav.scp").write_text(script, encoding="utf-8")
    return tmp_path


def waves() -> dict[str, np.ndarray]:
    """The samples as they are in the 16-bit files."""
    lengths = {"a": 8000, "b": 16000, "c": 320}
    return {
        name: np.rint(speech_like(samples, ord(name)) * np.float32(32768)) / np.float32(32768)
        for name, samples in lengths.items()
    }


def matrices(path: str) -> dict[str, np.ndarray]:
    return dict(read_table(f"ark:{path}", MATRIX))


def report() -> dict:
    return json.loads(Path("report").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("tool", "arguments", "compute"),
    [
        (compute_mfcc_feats, ["--num-ceps=5"], lambda wave: mfcc(wave, MfccOptions(num_ceps=5))),
        (compute_fbank_feats, ["--num-mel-bins=30"], lambda wave: fbank(wave, FbankOptions(num_mel_bins=30))),
        (compute_spectrogram_feats, [], spectrogram),
        (compute_mfcc_feats, ["--vtln-warp=1.1"], lambda wave: mfcc(wave, vtln_warp=1.1)),
    ],
)
def test_extraction(folder, capsys, tool, arguments, compute):
    assert tool.main([*arguments, "--report=report", "--write-utt2dur=ark,t:utt2dur", "scp:wav.scp", "ark:out"]) == 0
    features = matrices("out")
    assert list(features) == ["a", "b", "c"]
    for utterance, wave in waves().items():
        expected = compute(wave)
        np.testing.assert_array_equal(features[utterance], expected if len(expected) else np.zeros((0, 0)))
    assert read_id_map("utt2dur") == {"a": "0.5", "b": "1", "c": "0.02"}
    assert report() == {"given": 3, "done": 3, "failed": {}}
    messages = capsys.readouterr().err
    assert "): Done 3 out of 3 utterances." in messages
    assert "WARNING" in messages
    assert "c: no frame of 25 ms" in messages


def test_what_cannot_be_read_is_named_and_left_out(folder, capsys):
    Path("wav.scp").write_text("a a.wav\nb missing.wav\n", encoding="utf-8")
    assert compute_mfcc_feats.main(["--report=report", "scp:wav.scp", "ark:out"]) == 0
    assert list(matrices("out")) == ["a"]
    assert report()["done"] == 1
    assert "missing.wav" in report()["failed"]["b"]
    messages = capsys.readouterr().err
    assert "WARNING (compute-mfcc-feats): b: " in messages
    assert "Done 1 out of 2 utterances." in messages


def test_nothing_done_is_a_failure(folder):
    Path("wav.scp").write_text("b missing.wav\n", encoding="utf-8")
    assert compute_mfcc_feats.main(["scp:wav.scp", "ark:out"]) == 1


def test_another_rate(folder, capsys):
    assert compute_mfcc_feats.main(["--sample-frequency=8000", "scp:wav.scp", "ark:out"]) == 1
    assert "--allow-downsample=true" in capsys.readouterr().err
    assert (
        compute_mfcc_feats.main(["--sample-frequency=8000", "--allow-downsample=true", "scp:wav.scp", "ark:out"]) == 0
    )
    assert matrices("out")["a"].shape == (num_frames(4000, MfccOptions(sample_frequency=8000)), 13)
    assert compute_mfcc_feats.main(["--sample-frequency=32000", "--allow-upsample=true", "scp:wav.scp", "ark:out"]) == 0


def test_minimum_duration(folder):
    assert compute_mfcc_feats.main(["--min-duration=0.7", "--report=report", "scp:wav.scp", "ark:out"]) == 0
    assert list(matrices("out")) == ["b"]
    assert "too short" in report()["failed"]["a"]


def test_subtracted_mean(folder):
    assert compute_mfcc_feats.main(["--subtract-mean=true", "scp:wav.scp", "ark:out"]) == 0
    features = matrices("out")["b"]
    assert abs(features.mean(axis=0)).max() < 1e-4
    expected = mfcc(waves()["b"])
    np.testing.assert_allclose(features, expected - expected.mean(axis=0), rtol=0, atol=1e-4)


def test_channel(folder):
    stereo = np.stack([speech_like(8000, 1), speech_like(8000, 2)], axis=1)
    write_wav("stereo.wav", stereo, 16000)
    write_wav("right.wav", stereo[:, 1], 16000)
    Path("wav.scp").write_text("s stereo.wav\n", encoding="utf-8")
    Path("right.scp").write_text("s right.wav\n", encoding="utf-8")
    assert compute_mfcc_feats.main(["--channel=1", "scp:wav.scp", "ark:out"]) == 0
    assert compute_mfcc_feats.main(["scp:right.scp", "ark:right"]) == 0
    np.testing.assert_array_equal(matrices("out")["s"], matrices("right")["s"])
    assert compute_mfcc_feats.main(["--channel=2", "scp:wav.scp", "ark:out"]) == 1


def test_vtln_map_of_speakers(folder):
    Path("warps").write_text("x 0.9\ny 1.1\n", encoding="utf-8")
    Path("utt2spk").write_text("a x\nb y\n", encoding="utf-8")
    options = ["--vtln-map=ark:warps", "--utt2spk=ark:utt2spk", "--report=report"]
    assert compute_fbank_feats.main([*options, "scp:wav.scp", "ark:out"]) == 0
    features = matrices("out")
    np.testing.assert_array_equal(features["a"], fbank(waves()["a"], vtln_warp=0.9))
    np.testing.assert_array_equal(features["b"], fbank(waves()["b"], vtln_warp=1.1))
    assert list(report()["failed"]) == ["c"]
    assert compute_fbank_feats.main(["--utt2spk=ark:utt2spk", "scp:wav.scp", "ark:out"]) == 1


def test_vtln_map_of_utterances(folder):
    Path("warps").write_text("a 0.9\nb 1.0\nc 80\n", encoding="utf-8")
    assert compute_fbank_feats.main(["--vtln-map=ark:warps", "--report=report", "scp:wav.scp", "ark:out"]) == 0
    np.testing.assert_array_equal(matrices("out")["b"], fbank(waves()["b"]))
    assert "80 is out of range" in report()["failed"]["c"]


def test_dither_does_not_depend_on_the_list(folder):
    assert compute_mfcc_feats.main(["--dither=1", "scp:wav.scp", "ark:all"]) == 0
    Path("b.scp").write_text("b b.wav\n", encoding="utf-8")
    assert compute_mfcc_feats.main(["--dither=1", "scp:b.scp", "ark:one"]) == 0
    np.testing.assert_array_equal(matrices("one")["b"], matrices("all")["b"])
    assert (matrices("one")["b"] != mfcc(waves()["b"])).any()


def test_htk_format(folder):
    assert compute_mfcc_feats.main(["--output-format=htk", "scp:wav.scp", "ark:out"]) == 0
    features = dict(read_table("ark:out", HtkHolder(0, 10.0)))
    np.testing.assert_array_equal(features["a"], mfcc(waves()["a"]))
    header = Path("out").read_bytes()[2:14]
    assert header == np.array([48, 100000], ">i4").tobytes() + np.array([52, 0o106], ">u2").tobytes()
    assert compute_mfcc_feats.main(["--output-format=htk", "scp:wav.scp", "ark,t:out"]) == 1
    assert compute_mfcc_feats.main(["--output-format=sphinx", "scp:wav.scp", "ark:out"]) == 1


def test_mel_banks_are_shown(folder, capsys):
    assert compute_fbank_feats.main(["--debug-mel=true", "scp:wav.scp", "ark:out"]) == 0
    messages = capsys.readouterr().err
    assert "bin 0, offset = 1, vec = [ " in messages
    assert "bin 22, offset = " in messages


def test_help_explains_the_dither(folder, capsys):
    with pytest.raises(SystemExit) as exit_status:
        compute_mfcc_feats.main(["--help"])
    assert exit_status.value.code == 0
    text = capsys.readouterr().out
    assert "Kaldi's default is 1.0" in text
    assert "--preemphasis-coefficient" in text


@pytest.mark.parametrize(
    "arguments", [["--num-mel-bins=2"], ["--window-type=round"], ["--num-cep=13"], ["--high-freq=9e3"]]
)
def test_impossible_options_are_one_line(folder, capsys, arguments):
    assert compute_mfcc_feats.main([*arguments, "scp:wav.scp", "ark:out"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR")]
    assert len(lines) == 1
    assert arguments[0].split("=")[0] in lines[0]
    assert not Path("out").exists()


def test_the_chain_of_a_recipe_gives_kaldis_decisions(tmp_path, monkeypatch, capsys):
    """MFCC, VAD, sliding normalisation, selection: the frames kept are Kaldi's."""
    monkeypatch.chdir(golden("kaldi"))
    options = ["--low-freq=20", "--high-freq=7600", "--num-mel-bins=30", "--num-ceps=30", "--snip-edges=false"]
    feats, vad, normalized, voiced = (str(tmp_path / name) for name in ("mfcc", "vad", "cmn", "voiced"))
    assert compute_mfcc_feats.main([*options, "scp:wav.scp", f"ark,scp:{feats}.ark,{feats}.scp"]) == 0
    options = ["--vad-energy-threshold=5.5", "--vad-proportion-threshold=0.12", "--vad-frames-context=2"]
    assert compute_vad.main([*options, f"scp:{feats}.scp", f"ark:{vad}"]) == 0
    assert apply_cmvn_sliding.main(["--center=true", "--cmn-window=300", f"ark:{feats}.ark", f"ark:{normalized}"]) == 0
    report_option = f"--report={tmp_path}/report"
    assert select_voiced_frames.main([report_option, f"ark:{normalized}", f"ark:{vad}", f"ark:{voiced}"]) == 0
    expected = matrices(str(golden("kaldi/feats/mfcc_cmn300_voiced.ark")))
    actual = matrices(voiced)
    assert actual.keys() == expected.keys()
    for utterance, features in expected.items():
        np.testing.assert_allclose(actual[utterance], features, rtol=0, atol=5e-3)
    failed = json.loads((tmp_path / "report").read_text(encoding="utf-8"))["failed"]
    assert failed == dict.fromkeys(["edge-lsb-noise", "edge-zeros"], "no frame was judged voiced")
    assert "processed 16 utterances successfully; 0 had empty features, and 2 were completely unvoiced" in (
        capsys.readouterr().err
    )


def write_matrices(path: str, **values: np.ndarray) -> None:
    with TableWriter(f"ark:{path}", MATRIX) as writer:
        for key, value in values.items():
            writer.write(key, value)


@pytest.fixture
def tables(tmp_path, monkeypatch) -> None:
    """An archive `feats` of a loud, a mixed and an empty utterance, the current folder."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    mixed = random.normal(0, 1, (40, 4)).astype(np.float32)
    mixed[:20, 0] = 30
    write_matrices("feats", low=np.full((5, 4), 1, np.float32), mixed=mixed, none=np.zeros((0, 0), np.float32))


def test_unvoiced_utterances_are_omitted_on_demand(tables):
    assert compute_vad.main(["--report=report", "ark:feats", "ark:vad"]) == 0
    decisions = dict(read_table("ark:vad", VECTOR))
    assert {key: value.sum() for key, value in decisions.items()} == {"low": 0, "mixed": 20}
    assert list(report()["failed"]) == ["none"]
    assert compute_vad.main(["--omit-unvoiced-utts=true", "--report=report", "ark:feats", "ark:vad"]) == 0
    assert list(dict(read_table("ark:vad", VECTOR))) == ["mixed"]
    assert list(report()["failed"]) == ["low", "none"]


def test_all_unvoiced_is_a_failure(tables):
    assert compute_vad.main(["--vad-energy-threshold=99", "ark:feats", "ark:vad"]) == 1


def test_selection_names_what_does_not_fit(tables):
    with TableWriter("ark:vad", VECTOR) as writer:
        writer.write("mixed", np.ones(39, np.float32))
    assert select_voiced_frames.main(["--report=report", "ark:feats", "ark:vad", "ark:out"]) == 1
    failed = report()["failed"]
    assert failed.keys() == {"low", "mixed", "none"}
    assert "40 frames of features but 39" in failed["mixed"]
    assert "no decisions on voicing" in failed["low"]


def test_deltas_of_the_first_columns(tables):
    assert add_deltas.main(["--truncate=2", "--delta-order=1", "--report=report", "ark:feats", "ark:out"]) == 0
    assert {key: value.shape for key, value in matrices("out").items()} == {"low": (5, 4), "mixed": (40, 4)}
    assert report() == {"given": 3, "done": 2, "failed": {"none": "its feature matrix is empty"}}
    assert add_deltas.main(["--truncate=9", "ark:feats", "ark:out"]) == 1


def test_normalisation_of_variance(tables):
    assert apply_cmvn_sliding.main(["--norm-vars=true", "--center=true", "ark:feats", "ark:out"]) == 0
    features = matrices("out")
    assert list(features) == ["low", "mixed"]
    assert np.all(features["low"] == 0)
    np.testing.assert_allclose(features["mixed"].std(axis=0), 1, rtol=1e-4)
