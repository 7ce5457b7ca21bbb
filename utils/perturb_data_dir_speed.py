#!/usr/bin/env python3
"""A copy of a data directory with faster or slower, and so higher or deeper, voices: new speakers to train on."""

from pathlib import Path

from plumbum import cli

from spkid.audio import WAVE, Wave, WaveOptions, read_waves, resample
from spkid.jobs import Program, Step, progress
from spkid.jobs.manifest import manifest
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_dir import write_spk2utt
from spkid.kaldi.lists import write_id_map
from spkid.kaldi.tables import TableWriter

SLOWEST, FASTEST = 0.5, 2.0


class PerturbDataDirSpeed(Program):
    """Plays every utterance of DATA-DIR <factor> times as fast and writes the copies as OUT-DIR.

    Time and pitch change together (the samples are resampled and keep their nominal rate), which moves formants as a
    vocal tract of another length does: a copy is another voice, so `sp0.9-` goes in front of the names of utterances
    and speakers. Yamamoto et al., "Speaker augmentation and bandwidth extension for deep speaker embedding",
    Interspeech 2019. The audio goes to OUT-DIR/data/wav.ark, one file.
    """

    EXAMPLE = "utils/perturb_data_dir_speed.py 0.9 data/train data/train_sp0.9"

    force = cli.Flag("--force", help="make the copy again even if nothing has changed")

    def main(self, factor: str, data_dir: str, out_dir: str) -> int:
        speed = _factor(factor)
        source, target = DataDir(data_dir), Path(out_dir)
        if target.resolve() == Path(data_dir).resolve():
            raise InputError(f"{data_dir}: the copy cannot be its own source, give another directory")
        source.check(needs=("utt2spk", "wav.scp"))
        tables = [source.path(name) for name in ("wav.scp", "segments", "utt2spk", "spk2gender") if source.has(name)]
        archive = target / "data" / "wav.ark"
        outputs = [archive, *(target / name for name in ("wav.scp", "utt2spk", "spk2utt", "utt2dur"))]
        step = Step(
            "perturb_data_dir_speed", target / "data", tables, {"factor": speed}, outputs=outputs, force=self.force
        )
        with step:
            if step.is_done:
                return 0
            utterances = _write_copy(source, target, archive, speed, prefix=f"sp{factor}-")
            summary = f"{utterances} utterances of {data_dir} at {factor} times their speed"
            step.finish(summary, manifest(source.utterances))
        return 0


def _factor(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not SLOWEST <= speed <= FASTEST or speed == 1.0:
        raise InputError(f"{text} is no factor: a number from {SLOWEST} to {FASTEST} other than 1 is needed")
    return speed


def _write_copy(source: DataDir, target: Path, archive: Path, speed: float, prefix: str) -> int:
    copy = DataDir(target)
    utt2spk = source.utt2spk
    segments = source.path("segments") if source.has("segments") else None
    waves = read_waves(f"scp:{source.path('wav.scp')}", segments=segments, options=WaveOptions())
    durations = {}
    with TableWriter(f"ark,scp:{archive},{target / 'wav.scp'}", WAVE) as writer:
        for utterance, wave in progress(waves, "speed perturbation", total=len(utt2spk), unit="utterances"):
            if isinstance(wave, InputError):
                raise InputError(f"utterance {utterance}: {wave}")
            samples = resample(wave.samples, speed, 1.0)
            writer.write(prefix + utterance, Wave(samples, wave.rate))
            durations[prefix + utterance] = f"{len(samples) / wave.rate:.4f}"
    write_id_map(copy.path("utt2dur"), durations)
    write_id_map(copy.path("utt2spk"), {prefix + utterance: prefix + utt2spk[utterance] for utterance in utt2spk})
    write_spk2utt(copy.path("spk2utt"), copy.table("utt2spk"))
    if source.has("spk2gender"):
        genders = source.read("spk2gender")
        write_id_map(copy.path("spk2gender"), {prefix + speaker: gender for speaker, gender in genders.items()})
    copy.check(needs=("utt2spk", "wav.scp", "utt2dur"))
    return len(durations)


if __name__ == "__main__":
    PerturbDataDirSpeed.run()
