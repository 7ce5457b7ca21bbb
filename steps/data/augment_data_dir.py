#!/usr/bin/env python3
"""A copy of a data directory with noises added to its recordings (Kaldi's steps/data/augment_data_dir.py)."""

from __future__ import annotations

import random

from plumbum import cli

from spkid.audio.copies import check_rate, fits_between_commas, numbers, recording_durations, write_copy
from spkid.audio.corruption import AddedNoise, corruption_line
from spkid.jobs import Program, Step, boolean
from spkid.jobs.manifest import manifest
from spkid.kaldi import DataDir, InputError

TABLES = ("wav.scp", "utt2spk", "segments", "utt2dur", "reco2dur", "vad.scp", "text", "spk2gender", "utt2uniq")
WRITTEN = ("utt2spk", "spk2utt", "utt2uniq")  # and wav.scp, whose lines need not be looked up


class AugmentDataDir(Program):
    """Writes OUT-DIR: the recordings of DATA-DIR as wav-reverberate lines that add noises of a directory to them.

    Background noises last as long as the recording (they are repeated), several at once; foreground noises follow one
    another with pauses between. What is drawn for a recording follows from the seed and its id alone. vad.scp, text
    and the like go along; features do not. Durations come from reco2dur or utt2dur, or else from the audio.
    """

    EXAMPLE = (
        "steps/data/augment_data_dir.py --utt-suffix noise --fg-interval 1 --fg-snrs 15:10:5:0 "
        "--fg-noise-dir data/musan_noise data/train data/train_noise"
    )

    utt_suffix = cli.SwitchAttr("--utt-suffix", str, default="", help="behind the ids of utterances, after a dash")
    utt_prefix = cli.SwitchAttr("--utt-prefix", str, default="", help="before the ids of utterances, with a dash")
    modify_spk_id = cli.SwitchAttr("--modify-spk-id", boolean, default=False, help="change speakers' ids likewise")
    fg_snrs = cli.SwitchAttr("--fg-snrs", str, default="20:10:0", help="of foreground noises, in dB; one is drawn")
    bg_snrs = cli.SwitchAttr("--bg-snrs", str, default="20:10:0", help="of background noises, in dB; one is drawn")
    num_bg_noises = cli.SwitchAttr("--num-bg-noises", str, default="1", help="how many at once; one number is drawn")
    fg_interval = cli.SwitchAttr("--fg-interval", cli.Range(0, 10**6), default=0, help="pause between noises, seconds")
    fg_noise_dir = cli.SwitchAttr("--fg-noise-dir", str, default="", help="data directory of foreground noises")
    bg_noise_dir = cli.SwitchAttr("--bg-noise-dir", str, default="", help="data directory of background noises")
    random_seed = cli.SwitchAttr("--random-seed", int, default=123, help="decides what is drawn")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=4, help="recordings opened at a time for their durations")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str) -> int:
        if not (self.fg_noise_dir or self.bg_noise_dir):
            raise InputError("give --fg-noise-dir, --bg-noise-dir or both")
        if not (self.utt_suffix or self.utt_prefix):
            raise InputError("give --utt-suffix (or --utt-prefix): a copy needs other ids than the original")
        fg_snrs, bg_snrs = numbers(self.fg_snrs, "fg-snrs"), numbers(self.bg_snrs, "bg-snrs")
        counts = numbers(self.num_bg_noises, "num-bg-noises", int, least=1)
        source, target = DataDir(data_dir), DataDir(out_dir)
        source.check(needs=("utt2spk", "wav.scp"))
        noise_dirs = [DataDir(name) for name in (self.fg_noise_dir, self.bg_noise_dir) if name]
        for noise_dir in noise_dirs:
            noise_dir.require("wav.scp")
        names = ("utt_suffix", "utt_prefix", "modify_spk_id", "fg_snrs", "bg_snrs", "num_bg_noises", "fg_interval")
        options = {name: getattr(self, name) for name in (*names, "random_seed", "fg_noise_dir", "bg_noise_dir")}
        step = Step(
            "augment_data_dir",
            target.path("data"),
            [source.path(name) for name in TABLES if source.has(name)] + [one.path("wav.scp") for one in noise_dirs],
            options,
            outputs=[target.path(name) for name in WRITTEN],
            force=self.force or not target.has("wav.scp"),
        )
        with step:
            if step.is_done:
                return 0
            foreground, background = self._noises(self.fg_noise_dir), self._noises(self.bg_noise_dir)
            for noises in filter(None, (foreground, background)):
                check_rate(source, noises[0][0], "make the noises again at that rate (local/musan.py --rate)")
            durations = recording_durations(source, self.nj)
            wav_scp = {}
            for recording, entry in source.wav_scp.items():
                draw = random.Random(f"{self.random_seed} {recording}")
                seconds = durations[recording]
                noises = [*_background(draw, background, bg_snrs, counts, seconds)]
                noises += _foreground(draw, foreground, fg_snrs, self.fg_interval, seconds)
                wav_scp[recording] = corruption_line(entry, noises=noises)
            write_copy(
                source,
                out_dir,
                wav_scp,
                rename=self._rename,
                rename_speaker=self._rename if self.modify_spk_id else str,
            )
            step.finish(f"{len(wav_scp)} recordings of {data_dir} with noise", manifest(wav_scp))
        return 0

    def _rename(self, key: str) -> str:
        return "-".join(word for word in (self.utt_prefix, key, self.utt_suffix) if word)

    def _noises(self, directory: str) -> list[tuple[str, float]]:
        """Location and seconds of each recording of a directory of noises."""
        if not directory:
            return []
        data = DataDir(directory)
        fits_between_commas(data.wav_scp.values())
        durations = recording_durations(data, self.nj)
        empty = next((name for name, seconds in durations.items() if not seconds > 0), None)
        if empty is not None:
            raise InputError(f"{directory}: the noise {empty} lasts {durations[empty]:g} s")
        return [(location, durations[name]) for name, location in sorted(data.wav_scp.items())]


def _background(
    draw: random.Random, noises: list[tuple[str, float]], snrs: list[float], counts: list[int], seconds: float
) -> list[AddedNoise]:
    if not noises:
        return []
    chosen = (draw.choice(noises)[0] for _ in range(draw.choice(counts)))
    return [AddedNoise(corruption_line(location, duration=seconds), draw.choice(snrs)) for location in chosen]


def _foreground(
    draw: random.Random, noises: list[tuple[str, float]], snrs: list[float], interval: float, seconds: float
) -> list[AddedNoise]:
    """One noise after another until the recording's end."""
    added, start = [], 0.0
    while noises and start < seconds:
        location, length = draw.choice(noises)
        added.append(AddedNoise(location, draw.choice(snrs), round(start, 2)))
        start += length + interval
    return added


if __name__ == "__main__":
    AugmentDataDir.run()
