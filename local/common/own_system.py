"""Which system suits recordings of one's own, its configuration at their sampling rate, and how it is used."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spkid.data.front_end import FRAME_KIND, FrontEnd, sliding_window
from spkid.jobs.results import read_results
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.metrics.markdown import markdown_table
from spkid.metrics.sections import Table
from spkid.train import yaml_text
from spkid.train.experiment import read_description

STATISTICS = "statistics"
# As far as so many training speakers and hours: a configuration, and why. The first two rows are measured
# (egs/speechocean762/README.md); the others are the sizes that the published systems of that kind were trained on.
SIZES = (
    (20, 0.25, STATISTICS, "too little to train a network; statistics of MFCC and PLDA need none"),
    (400, 20, "lde_xvector", "a small set: a network of half a million parameters on a fixed cepstral basis"),
    (1500, 100, "xvector", "a middling set: Snyder's x-vector with PLDA"),
    (5000, 1000, "ecapa_tdnn", "a large set: ECAPA-TDNN on augmented audio"),
    (math.inf, math.inf, "resnet34", "a very large set: ResNet34 on augmented audio"),
)
PLDA_SPEAKERS = 20  # fewer say too little about how voices differ
PLDA_NETWORKS = ("lde_xvector", "xvector", "etdnn", "asv_xvector")
LDA_DIMS = {STATISTICS: 60, "lde_xvector": 100}
STATISTICS_DIMS = {8000: 46, 16000: 60}  # means and deviations of conf/mfcc_*.conf
# PLDA of fewer is worse than cosine: of 60-dimensional statistics, 28% of EER with 60 utterances, 18% with 100, 9.2%
# with 160, 6.7% with 200, where cosine had 7.5%; of a network's 192 dimensions, 25% with 200, where cosine had 5%.
UTTERANCES_A_DIM = 3
EMBEDDING_DIM = 512  # where neither configuration nor import says it: that of the x-vectors, which is the largest
CHUNKS_AN_EPOCH = 2400  # at least: the epochs of the configurations are meant for such sets
ALL_PAIRS = 2000  # test utterances; more of them are compared in a choice of pairs
BALANCED_TARGETS = 100_000


@dataclass(frozen=True)
class Choice:
    """What run.sh has to know of a system."""

    name: str
    why: str
    config: str  # the YAML file; "" for statistics
    source: str  # of the network's features: files, audio; none for statistics
    method: str  # whose threshold is used: plda or cosine
    plda: bool
    lda_dim: int
    trials: str  # options of utils/make_trials.py


def choose_system(train: DataDir, test: DataDir, rate: int, config: str, initial: str, conf: Path, exp: Path) -> Choice:
    """Chooses by the size of the training set, and writes the configuration to `exp`/<name>.yaml.

    Args:
        config: a YAML file, or "statistics", instead of the choice; "" chooses.
        initial: experiment directory of an import, which is then fine-tuned.
        conf: where the recipe's configurations lie.
    """
    speakers, utterances = len(train.speakers), len(train.utterances)
    hours = sum((train.durations() or {}).values()) / 3600
    size = f"{speakers} speakers, {utterances} utterances, {hours:.2f} hours"
    if config:
        name, why = Path(config).stem, f"as --config says ({size})"
    elif initial:
        name, why = "tune", f"fine-tuning of {initial}: its network has heard more voices than yours ({size})"
    else:
        name, why = next((name, why) for most, most_hours, name, why in SIZES if speakers < most or hours < most_hours)
        why = f"{why} ({size})"
    trials = f"--balanced --targets {BALANCED_TARGETS}" if len(test.utterances) > ALL_PAIRS else ""
    if name == STATISTICS:
        if initial:
            raise InputError("statistics cannot be fine-tuned: leave out --config or --initial-model")
        lda_dim = min(LDA_DIMS[STATISTICS], speakers - 1)
        plda = utterances >= UTTERANCES_A_DIM * STATISTICS_DIMS[rate]
        why += "" if plda else _too_few(utterances, STATISTICS_DIMS[rate])
        return Choice(name, why, "", "none", "plda" if plda else "cosine", plda, lda_dim, trials)
    values = yaml_text.load(config or conf / f"{name}.yaml")
    if initial:
        values = {"initial_model": initial, **values}
        values["features"] = initial_features(initial, values.get("features", {}))
    features = values.get("features", {})
    if features.get("source") == "audio" and not initial:
        features["options"] = at_rate(features.get("type", ""), features.get("options") or {}, rate)
    data = values.setdefault("data", {})
    if data.get("batches", "chunks") == "chunks":
        data.setdefault("chunks_per_utterance", max(1, math.ceil(CHUNKS_AN_EPOCH / utterances)))
    network = (values.get("model") or {}).get("name", "")
    dims = _embedding_dim(values, initial)
    plda = speakers >= PLDA_SPEAKERS and utterances >= UTTERANCES_A_DIM * dims
    if speakers >= PLDA_SPEAKERS and not plda:
        why += _too_few(utterances, dims)
    path = exp / f"{name}.yaml"
    exp.mkdir(parents=True, exist_ok=True)
    _write_yaml(path, values, why)
    method = "plda" if plda and network in PLDA_NETWORKS else "cosine"
    lda_dim = min(LDA_DIMS.get(network, 150), speakers - 1)
    return Choice(name, why, str(path), features.get("source", "files"), method, plda, lda_dim, trials)


def _embedding_dim(values: dict[str, Any], initial: str) -> int:
    model = values.get("model") or (read_description(initial)[0]["config"]["model"] if initial else {})
    return model.get("embedding_dim", EMBEDDING_DIM)


def _too_few(utterances: int, dims: int) -> str:
    least = UTTERANCES_A_DIM * dims
    return f"; by cosine alone: PLDA of {dims}-dimensional vectors wants {least} utterances, and there are {utterances}"


def choice_lines(choice: Choice) -> list[str]:
    """Assignments for the shell."""
    values = {**vars(choice), "plda": str(choice.plda).lower()}
    return [f"choice_{name}={shlex.quote(str(value))}" for name, value in values.items()]


def at_rate(kind: str, options: dict[str, Any], rate: int) -> dict[str, Any]:
    """Feature options at a sampling rate: at 8 kHz the band ends at 3700 Hz, and mel energies are at most 40."""
    options = {**options, "sample_frequency": rate}
    if rate < 16000 and kind in ("fbank", "mfcc"):
        bands = {"fbank": 40, "mfcc": 23}[kind]
        options["num_mel_bins"] = min(options.get("num_mel_bins", 23), bands)
        options["high_freq"] = min(high, 3700) if (high := options.get("high_freq", 0)) > 0 else 3700
        if kind == "mfcc":
            options["num_ceps"] = min(options.get("num_ceps", 13), options["num_mel_bins"])
    return options


def initial_features(initial: str, given: dict[str, Any]) -> dict[str, Any]:
    """The section `features` with which the network of an import was trained, read from audio."""
    _, front_end = read_description(initial)
    options = front_end.options
    if options is None:
        raise InputError(
            f"{initial}: its checkpoint does not tell with which options its features were made: name the file of "
            "these options, --mfcc-config FILE; of filter banks: import it with steps/import_model.py --fbank-config, "
            "and give that directory as --initial-model"
        )
    features = {"type": front_end.type, "source": "audio", "options": options, **_normalisation(front_end)}
    changed = [key for key in given if key in features and given[key] != features[key]]
    if changed:
        raise InputError(
            f"features.{changed[0]} must be {features[changed[0]]}, as {initial} was trained; leave it out"
        )
    return features


def _normalisation(front_end: FrontEnd) -> dict[str, Any]:
    values: dict[str, Any] = {"cmn": "none", "vad": "vad" in front_end.transforms}
    for transform in front_end.transforms:
        if (window := sliding_window(transform)) is not None:
            values |= {"cmn": "sliding", "cmn_window": window}
        elif transform != "vad":
            values["cmn"] = {FRAME_KIND: "frame", "cmvn_utterance": "cmvn"}.get(transform, "utterance")
    return values


def _write_yaml(path: Path, values: dict[str, Any], why: str) -> None:
    import yaml

    with atomic_write(path) as stream:
        stream.write(f"# Written by local/mydata.py choose: {why}.\n")
        yaml.safe_dump(values, stream, sort_keys=False, default_flow_style=None, allow_unicode=True)


def summarize(system: Path, method: str, results: Sequence[str], test: DataDir, decisions: str, cwd: str) -> str:
    """Error rates, threshold and the commands that use the system, as Markdown.

    Args:
        system: experiment directory; one without a network is statistics.
        results: directories of steps/evaluate.py, each after what it is called and "=".
    """
    rows, chosen = [], None
    for one in results:
        name, _, directory = one.partition("=")
        found = read_results(Path(directory) / "results.json", ("eer", "min_dcf", "decision"), "steps/evaluate.py")
        rows.append((name, *_rates(found), f"{directory}/report.html"))
        if directory == str(system / "results" / method):
            chosen = found
    if chosen is None:
        raise InputError(f"{system}/results/{method} is not among the results")
    header = ("system and scoring", "EER", "minDCF", "threshold", "misses there", "false alarms there", "report")
    lines = ["# What came out", ""]
    if decisions:
        lines += [f"- {line}" for line in Path(decisions).read_text(encoding="utf-8").splitlines()] + [""]
    lines += [markdown_table(Table(header, rows)), ""]
    return "\n".join([*lines, _advice(chosen["decision"], method), "", *_commands(system, method, test, Path(cwd))])


def _advice(decision: dict[str, Any], method: str) -> str:
    """What to do with the scores."""
    share = f"{100 * decision['p_target']:g}% of the comparisons are of one person"
    threshold = decision["empirical"]["threshold"]
    if threshold is None:
        return (
            f"Where {share}, nothing is cheaper than to {_all_or_nothing(decision['empirical'])}: this system does not "
            "help there. Give it more speakers, or a published network to start from (--initial-model); if the share "
            "is another one, say it (--prior)."
        )
    return (
        f"Of two recordings that score {threshold:.4f} or more with `{method}`, say that one person speaks: the "
        f"cheapest threshold where {share}. It was found on these test speakers, so other speakers will see a little "
        "worse."
    )


def _rates(found: dict[str, Any]) -> list[str]:
    decision = found["decision"]
    best = decision["empirical"]
    costs = next(iter(found["min_dcf"].values()))["value"]
    share = [f"{100 * best[key]:.2f}%" for key in ("miss_rate", "false_alarm_rate")]
    threshold = _all_or_nothing(best) if best["threshold"] is None else f"{best['threshold']:.4f}"
    return [f"{100 * found['eer']:.2f}%", f"{costs:.3f}", threshold, *share]


def _all_or_nothing(best: dict[str, Any]) -> str:
    return "accept nobody" if best["false_alarm_rate"] == 0 else "accept everybody"


def _commands(system: Path, method: str, test: DataDir, cwd: Path) -> list[str]:
    """How the system is used on further recordings."""
    where = cwd / system
    backend = f" --backend {shlex.quote(str(where / 'backend'))}" if method == "plda" else ""
    results = f"--results {shlex.quote(str(where / 'results' / method))}"
    if not (system / "final.json").is_file():
        return [
            "Statistics are no network that `spkid` could load. To decide about recordings of your own, give them as "
            "`--test` (with `--trials` for the pairs that matter), or take a published network: `--initial-model`.",
        ]
    first, second = _two_recordings(test)
    model = f"--model {shlex.quote(str(where))}{backend}"
    repository = Path(__file__).resolve().parents[2]
    return [
        "```",
        f". {shlex.quote(str(repository / 'path.sh'))}",
        f"spkid verify {model} {results} {first} {second}",
        f"spkid enroll --model {shlex.quote(str(where))} FOLDER-WITH-A-FOLDER-A-SPEAKER enrolled",
        f"spkid identify {model} {results} --enrolled enrolled {second}",
        "```",
    ]


def _two_recordings(test: DataDir) -> tuple[str, str]:
    """Two files of one speaker; words in capitals where recordings are no files of their own."""
    if not test.has("segments"):
        for own in test.spk2utt.values():
            files = [test.wav_scp[utterance] for utterance in own if Path(test.wav_scp[utterance]).is_file()]
            if len(files) > 1:
                return shlex.quote(files[0]), shlex.quote(files[1])
    return "FIRST.wav", "SECOND.wav"
