#!/usr/bin/env python3
"""Looks at the recordings of a data directory and writes a page about them: counts, durations, rates, problems."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.audio.quality import TELEPHONE_HZ, Heard, listen
from spkid.jobs import Program, Step, progress
from spkid.kaldi import DataDir
from spkid.kaldi.io import atomic_write
from spkid.metrics.report import html_page
from spkid.metrics.sections import Section, Table

SILENT_DB = -60.0
QUIET_DB = -45.0
CLIPPED_SHARE = 0.001
EMPTY_BAND_DB = -55.0
LARGE_OFFSET = 0.02
FEW_UTTERANCES = 5
SHOWN = 20
# What is found: how bad it is, what it means and what to do. Of an utterance, the first one counts as its problem.
PROBLEMS = {
    "unreadable": (True, "cannot be decoded", "convert the file again from its source"),
    "silent": (True, f"level under {SILENT_DB:g} dB: nothing was recorded", "record again"),
    "short": (True, "shorter than --min-seconds", "join such pieces, or record longer ones"),
    "clipped": (
        False,
        f"more than {100 * CLIPPED_SHARE:g}% of the samples are cut off",
        "usable; record with less gain, keep it out of the enrolment",
    ),
    "quiet": (False, f"level under {QUIET_DB:g} dB", "usable; the microphone was far away, or its gain low"),
    "offset": (False, f"mean of the samples beyond {LARGE_OFFSET:g}", "usable: features take it away"),
    "telephone band": (
        False,
        f"nothing above {TELEPHONE_HZ / 1000:g} kHz, although the rate has room for it",
        "it comes from a telephone or a strong codec; with clean recordings beside it, use --rate 8000 for all",
    ),
}
COLUMNS = ("utterance", "speaker", "seconds", "rate", "channels", "peak", "level", "clipped", "upper_band", "problems")


class DescribeDataDir(Program):
    """Decodes all audio of DATA-DIR; writes OUT-DIR/report.html, utterances.tsv (a line each) and usable (ids).

    `usable` lists the utterances that are not silent, not shorter than --min-seconds and can be read: what
    `utils/subset_data_dir.py --utt-list` takes. Nothing in DATA-DIR is changed. The first channel is measured.
    """

    EXAMPLE = "utils/describe_data_dir.py --nj 4 data/train exp/check_train"

    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=2, help="processes that decode")
    min_seconds = cli.SwitchAttr("--min-seconds", float, default=0.5, help="what is shorter is not usable")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str) -> int:
        data, out = DataDir(data_dir), Path(out_dir)
        for warning in data.check(needs=("wav.scp", "utt2spk")):
            print(f"{self.PROGNAME}: warning: {warning}")
        inputs = [data.path(name) for name in ("wav.scp", "utt2spk", "segments") if data.has(name)]
        outputs = [out / name for name in ("report.html", "utterances.tsv", "usable")]
        with Step("describe_data_dir", out, inputs, {"min_seconds": self.min_seconds}, outputs, self.force) as step:
            if step.is_done:
                return 0
            listened = progress(listen(data, self.nj), "listening", total=len(data.utterances), unit="utterances")
            heard = sorted(listened, key=lambda one: one.utterance.encode())
            problems = {one.utterance: problems_of(one, self.min_seconds) for one in heard}
            _write_tables(out, data, heard, problems)
            numbers, sections, pictures = _report(data, heard, problems, self.min_seconds)
            with atomic_write(out / "report.html") as stream:
                stream.write(html_page(f"Recordings of {data_dir}", "Data check", numbers, sections, pictures))
            counts = Counter(name for names in problems.values() for name in names)
            told = ", ".join(f"{counts[name]} {name}" for name in PROBLEMS if counts[name]) or "nothing wrong"
            hours = sum(one.seconds for one in heard) / 3600
            unusable = sum(is_unusable(names) for names in problems.values())
            step.finish(
                f"{data_dir}: {len(data.speakers)} speakers, {len(heard)} utterances, {hours:.2f} hours; {told}; "
                f"{unusable} not usable; see {out / 'report.html'}",
                counts=dict(counts),
            )
        return 0


def problems_of(one: Heard, min_seconds: float) -> list[str]:
    """The names (of PROBLEMS) of what is wrong with an utterance, the worst first."""
    if one.quality is None:
        return ["unreadable"]
    quality = one.quality
    found = {
        "silent": quality.level < SILENT_DB,
        "short": one.seconds < min_seconds,
        "clipped": quality.clipped > CLIPPED_SHARE,
        "quiet": SILENT_DB <= quality.level < QUIET_DB,
        "offset": abs(quality.offset) > LARGE_OFFSET,
        "telephone band": quality.level >= SILENT_DB and quality.upper_band < EMPTY_BAND_DB,
    }
    return [name for name in PROBLEMS if found.get(name)]


def is_unusable(problems: list[str]) -> bool:
    """Whether one of the problems leaves nothing to work with."""
    return any(PROBLEMS[name][0] for name in problems)


def _write_tables(out: Path, data: DataDir, heard: list[Heard], problems: dict[str, list[str]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "utterances.tsv") as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for one in heard:
            quality = one.quality
            measured = ["-"] * 4
            if quality is not None:
                band = "-" if np.isnan(quality.upper_band) else f"{quality.upper_band:.1f}"
                measured = [f"{quality.peak:.1f}", f"{quality.level:.1f}", f"{quality.clipped:.5f}", band]
            words = [one.utterance, data.utt2spk[one.utterance], f"{one.seconds:.3f}", one.rate, one.channels,
                     *measured, ",".join(problems[one.utterance]) or "-"]  # fmt: skip
            stream.write("\t".join(map(str, words)) + "\n")
    with atomic_write(out / "usable") as stream:
        stream.writelines(f"{one.utterance}\n" for one in heard if not is_unusable(problems[one.utterance]))


def _report(
    data: DataDir, heard: list[Heard], problems: dict[str, list[str]], min_seconds: float
) -> tuple[list[tuple[str, str, str]], list[Section], dict[str, bytes]]:
    """Large numbers, sections and pictures of the page."""
    readable = [one for one in heard if one.quality is not None]
    seconds = np.array([one.seconds for one in readable])
    per_speaker = Counter(data.utt2spk.values())
    unusable = [one for one in heard if is_unusable(problems[one.utterance])]
    numbers = [
        ("Speakers", f"{len(per_speaker):,}", f"{np.median(list(per_speaker.values())):g} utterances each (median)"),
        ("Utterances", f"{len(heard):,}", f"{np.median(seconds):.1f} s each (median)" if readable else ""),
        ("Hours", f"{seconds.sum() / 3600:.2f}", ""),
        ("Not usable", f"{len(unusable):,}", "silent, too short, unreadable" if unusable else "all can be used"),
    ]
    sections = [
        _problem_section(heard, problems, min_seconds),
        _rate_section(readable),
        _speaker_section(data, readable),
        _duration_section(seconds),
    ]
    return numbers, sections, _pictures(readable, list(per_speaker.values()))


def _problem_section(heard: list[Heard], problems: dict[str, list[str]], min_seconds: float) -> Section:
    rows, lists = [], {}
    failures = {one.utterance: one.failure for one in heard}
    for name, (is_fatal, meaning, advice) in PROBLEMS.items():
        concerned = [one.utterance for one in heard if name in problems[one.utterance]]
        if concerned:
            use = "left out" if is_fatal else "kept"
            meaning = meaning.replace("--min-seconds", f"{min_seconds:g} s")
            rows.append((name, meaning, use, f"{len(concerned):,}"))
            shown = [f"{utterance}  {failures[utterance]}".rstrip() for utterance in concerned[:SHOWN]]
            if len(concerned) > SHOWN:
                shown.append(f"... and {len(concerned) - SHOWN} more: utterances.tsv")
            lists[f"{name}: {advice}"] = "\n".join(shown)
    if not rows:
        return Section(
            "What is wrong", ["Nothing was found. Wrong labels cannot be heard here: utils/audit_labels.py."]
        )
    header = ("problem", "what it means", "training and scoring", "utterances")
    return Section("What is wrong", tables=[Table(header, rows, num_labels=3)], code=lists)


def _rate_section(readable: list[Heard]) -> Section:
    kinds = Counter((one.rate, one.channels) for one in readable)
    hours: Counter = Counter()
    for one in readable:
        hours[one.rate, one.channels] += one.seconds / 3600
    rows = [
        (f"{rate:,} Hz", str(channels), f"{count:,}", f"{hours[rate, channels]:.2f}")
        for (rate, channels), count in sorted(kinds.items())
    ]
    told = []
    rates = {rate for rate, _ in kinds}
    if len(rates) > 1:
        told.append(
            "The rates differ. One system works at one rate: 16 kHz, or 8 kHz where more than a few recordings have "
            "no more. What was recorded at 8 kHz has no upper band, and resampling does not bring it back: a network "
            "that sees both kinds hears the microphone before it hears the speaker."
        )
    if any(channels > 1 for _, channels in kinds):
        told.append("Of several channels the first is used, unless segments names another.")
    return Section("Sampling rates", told, [Table(("rate", "channels", "utterances", "hours"), rows)])


def _speaker_section(data: DataDir, readable: list[Heard]) -> Section:
    hours: Counter = Counter()
    for one in readable:
        hours[data.utt2spk[one.utterance]] += one.seconds
    few = sorted((len(own), speaker) for speaker, own in data.spk2utt.items() if len(own) < FEW_UTTERANCES)
    told = [f"{len(few)} of {len(data.speakers)} speakers have fewer than {FEW_UTTERANCES} utterances."]
    if any(count == 1 for count, _ in few):
        told.append(
            "A speaker with a single utterance teaches a network little and makes no target trial: record more."
        )
    rows = [(speaker, f"{count}", f"{hours[speaker]:.1f}") for count, speaker in few[:SHOWN]]
    tables = [Table(("speakers with the fewest", "utterances", "seconds"), rows)] if rows else []
    return Section("Speakers", told, tables, ["per_speaker.png"])


def _duration_section(seconds: np.ndarray) -> Section:
    if not len(seconds):
        return Section("Durations and levels", ["No utterance can be read."])
    points = (0, 5, 50, 95, 100)
    header = ("", "shortest", "5% are shorter", "median", "5% are longer", "longest")
    row = ["seconds", *(f"{value:.2f}" for value in np.percentile(seconds, points))]
    told = ["Under 2 s of speech, error rates grow quickly; beyond 10 s more helps little."]
    return Section("Durations and levels", told, [Table(header, [row])], ["durations.png", "levels.png"])


def _pictures(readable: list[Heard], per_speaker: list[int]) -> dict[str, bytes]:
    if not readable:
        return {}
    seconds = np.array([one.seconds for one in readable])
    levels = np.array([one.quality.level for one in readable])
    longest = max(float(np.percentile(seconds, 99.5)) * 1.1, 1.0)
    counts = np.array(per_speaker)
    return {
        "durations.png": _histogram(np.minimum(seconds, longest), np.linspace(0, longest, 41), "duration (s)"),
        "levels.png": _histogram(np.maximum(levels, -90), np.arange(-90, 3, 2.0), "level (dB relative to full scale)"),
        "per_speaker.png": _histogram(counts, _count_edges(counts.max()), "utterances of a speaker", "speakers"),
    }


def _count_edges(most: int) -> np.ndarray:
    """Bins of whole numbers, at most forty."""
    width = -(-int(most) // 40)
    return np.arange(0.5, most + width + 0.5, width)


def _histogram(values: np.ndarray, edges: np.ndarray, label: str, counted: str = "utterances") -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=edges, color="#0a62a3", alpha=0.85)
    axes.set_xlabel(label)
    axes.set_ylabel(counted)
    axes.set_xlim(edges[0], edges[-1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=axis is axes.yaxis or counted == "speakers"))
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for name in ("top", "right"):
        axes.spines[name].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


if __name__ == "__main__":
    DescribeDataDir.run()
