#!/usr/bin/env python3
"""Error rates, detection costs, the threshold to use, pictures and a report of scored trials."""

import hashlib
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plumbum import cli

from spkid.backend.conditions import DURATION_BANDS, Column, TrialSides, read_conditions
from spkid.backend.trials import MatchedScores, Trials, read_scores, read_trials, repeated_pairs, self_comparisons
from spkid.backend.vectors import blaming, first_ids
from spkid.jobs import Program, Step
from spkid.jobs.manifest import trial_manifest
from spkid.jobs.step import versions
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import read_id_map
from spkid.metrics.bootstrap import MIN_SPEAKERS, bootstrap
from spkid.metrics.cost import OperatingPoint, least_cost
from spkid.metrics.curve import TrialScores
from spkid.metrics.decision import decide, decision_at
from spkid.metrics.eer import DEFINITIONS
from spkid.metrics.identification import confusion_matrix, identify
from spkid.metrics.markdown import markdown_report
from spkid.metrics.plots import plot_calibration, plot_confusion, plot_det, plot_roc, plot_scores
from spkid.metrics.report import html_report
from spkid.metrics.summary import COMMON_POINTS, summarize, summarize_replicates, summary_line

PICTURES = ("scores.png", "det.png", "roc.png", "calibration.png")
MAX_CONFUSED_CLASSES = 400  # more would be less than two dots each in the picture
NUM_CONFUSIONS = 20
SYSTEM_DIR = re.compile(r"(?:.*/)?([^/]+)/results/([^/]+)/?")


class Evaluate(Program):
    """Writes <out-dir>/{results.json,results.md,report.html} and pictures, and prints one line with the main numbers.

    Trials are `enrolment test target|nontarget` (Kaldi) or `1|0 enrolment test` (VoxCeleb). The scores may stand in any
    order, and hold more pairs than the list. A trial without a score is an error. report.html needs no other file.
    """

    EXAMPLE = (
        "steps/evaluate.py --data data/test --bootstrap 1000 exp/x/results/scores data/test/trials exp/x/results/plda"
    )

    name = cli.SwitchAttr("--name", str, default="", help="what the system is called in the report and in tables")
    config = cli.SwitchAttr("--config", str, default="", help="configuration of the system, kept in results.json")
    dcf = cli.SwitchAttr(
        "--dcf",
        OperatingPoint.parse,
        list=True,
        argname="P[,C_MISS,C_FA]",
        help="one more detection cost: prior of a target trial, cost of a miss and of a false alarm",
    )
    prior = cli.SwitchAttr("--prior", float, default=0.01, help="share of target trials to choose a threshold for")
    c_miss = cli.SwitchAttr("--c-miss", float, default=1.0, help="what a miss costs there")
    c_fa = cli.SwitchAttr("--c-fa", float, default=1.0, help="what a false alarm costs there")
    data = cli.SwitchAttr(
        "--data",
        str,
        list=True,
        argname="DATA-DIR",
        help="who spoke what: for --bootstrap, and to break results down by gender, language and duration as far as "
        "spk2gender, utt2dur, ... are there",
    )
    spk2utt = cli.SwitchAttr("--spk2utt", str, default="", help="the utterances that each enrolment model was made of")
    conditions = cli.SwitchAttr(
        "--conditions",
        str,
        default="",
        argname="TABLE",
        help="properties to break results down by: a line of names, then `enrolment test value ...` for every trial",
    )
    duration_bands = cli.SwitchAttr(
        "--duration-bands",
        str,
        default=",".join(f"{end:g}" for end in DURATION_BANDS),
        argname="SECONDS",
        help="ends of the bands of duration (of the shorter side), with commas between them",
    )
    bootstrap = cli.SwitchAttr(
        "--bootstrap",
        cli.Range(0, 10**6),
        default=0,
        argname="REPLICATES",
        help="95% confidence intervals from so many resamplings of the speakers (needs --data); 1000 is usual",
    )
    seed = cli.SwitchAttr("--seed", cli.Range(0, 2**32 - 1), default=0, help="of --bootstrap")
    top_k = cli.SwitchAttr(
        "--top-k",
        str,
        default="",
        argname="K,K,...",
        help="closed-set identification: how often the right enrolment is among the k best of a test utterance",
    )
    rank_by = cli.SwitchAttr(
        "--rank-by",
        cli.Set("test", "enroll", case_sensitive=True),
        default="test",
        help="with --top-k: the side whose trials are candidates for one answer (enroll: as in 1-versus-99 trials)",
    )
    allow_missing = cli.Flag("--allow-missing", help="leave out, and count, trials that have no score")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, scores: str, trials: str, out_dir: str) -> int:
        point, bands, top_k = self._parse()
        out = Path(out_dir)
        self.name = self.name or _system_name(out_dir)
        points = list(dict.fromkeys([*COMMON_POINTS, *self.dcf, point]))
        inputs = [scores, trials, *(name for name in (self.config, self.spk2utt, self.conditions) if name), *self.data]
        outputs = [out / name for name in ("results.json", "results.md", "report.html", *PICTURES)]
        with Step("evaluate", out, inputs, self._options(points, point), outputs, self.force) as step:
            if step.is_done:
                return 0
            listed = read_trials(trials)
            if listed.is_target is None:
                raise InputError(
                    f"{trials}: the trials have no labels (target or nontarget), so errors cannot be counted"
                )
            matched = read_scores(scores, listed)
            self._check_complete(scores, listed, matched)
            sides = self._sides(listed)
            columns = read_conditions(self.conditions, listed) if self.conditions else {}
            if self.data:
                columns.update(sides.conditions(bands))
            used = ~matched.missing
            with blaming(f"{scores} on {trials}"):
                evaluation = Evaluation(listed.select(used), matched.scores[used], points)
                if self.bootstrap:
                    evaluation.resample(sides.speakers(), self.bootstrap, self.seed, used)
                measures, pictures = evaluation.measure(point), evaluation.draw(self.name, point)
                measures["conditions"] = [
                    row
                    for name, column in columns.items()
                    for row in evaluation.break_down(name, Column(column.values, column.codes[used]))
                ]
                pictures["confusion.png"] = b""
                if top_k:
                    measures["identification"], pictures["confusion.png"] = evaluation.identify(
                        top_k, self.rank_by, sides
                    )
            results = {"name": self.name, **measures, **self._origin(scores, listed, matched, sides)}
            self._write(out, results, pictures)
            shown = {**measures, "min_dcf": {point.name: measures["min_dcf"][point.name] for point in COMMON_POINTS}}
            done = int(np.count_nonzero(used))
            line = summary_line(shown, done, evaluation.scores.targets.size)
            step.finish(f"{out}: {line}", trial_manifest(listed.md5, len(listed), done), eer=measures["eer"])
        return 0

    def _parse(self) -> tuple[OperatingPoint, list[float], list[int]]:
        try:
            point = OperatingPoint(self.prior, self.c_miss, self.c_fa)
        except ValueError as error:
            raise InputError(f"--prior, --c-miss, --c-fa: {error}") from None
        if self.bootstrap and not self.data:
            raise InputError("--bootstrap resamples speakers: give --data, the directory whose utt2spk knows them")
        bands = _ascending("--duration-bands", self.duration_bands, float)
        return point, bands, _ascending("--top-k", self.top_k, int) if self.top_k else []

    def _options(self, points: list[OperatingPoint], point: OperatingPoint) -> dict[str, Any]:
        """What decides the result besides the files, for the record of the step."""
        return {
            "name": self.name,
            "costs": [one.name for one in points],
            "decision": point.name,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "duration_bands": self.duration_bands,
            "top_k": self.top_k,
            "rank_by": self.rank_by,
            "allow_missing": self.allow_missing,
        }

    def _sides(self, trials: Trials) -> TrialSides:
        models = {key: value.split() for key, value in read_id_map(self.spk2utt).items()} if self.spk2utt else {}
        return TrialSides(trials, [DataDir(name) for name in self.data], models)

    def _origin(self, scores: str, trials: Trials, matched: MatchedScores, sides: TrialSides) -> dict[str, Any]:
        targets = int(np.count_nonzero(trials.is_target))
        alike = len(self_comparisons(trials)) + sides.self_comparisons()
        return {
            "trials": {
                "file": trials.source,
                "md5": trials.md5,
                "count": len(trials),
                "targets": targets,
                "nontargets": len(trials) - targets,
                "without_score": int(np.count_nonzero(matched.missing)),
                "repeated": repeated_pairs(trials),
                "self_comparisons": alike,
            },
            "scores": {"file": scores, "unused_lines": matched.num_unused},
            "config": _config(self.config),
            "command": shlex.join(word for word in sys.argv if word != "--force"),
            "versions": versions(),
        }

    def _write(self, out: Path, results: dict[str, Any], pictures: dict[str, bytes]) -> None:
        for name, content in pictures.items():
            if not content:
                (out / name).unlink(missing_ok=True)  # of an earlier run
                continue
            with atomic_write(out / name, "wb") as stream:
                stream.write(content)
        with atomic_write(out / "results.md") as stream:
            stream.write(markdown_report(self.name, results))
        with atomic_write(out / "report.html") as stream:
            stream.write(html_report(self.name, results, {name: png for name, png in pictures.items() if png}))
        with atomic_write(out / "results.json") as stream:
            json.dump(results, stream, indent=1, ensure_ascii=False, allow_nan=False)
            stream.write("\n")

    def _check_complete(self, scores: str, trials: Trials, matched: MatchedScores) -> None:
        count = int(np.count_nonzero(matched.missing))
        if not count:
            return
        pairs = first_ids([f"({trials.pair(int(index))})" for index in np.flatnonzero(matched.missing)[:6]])
        text = f"{count} of the {len(trials)} trials of {trials.source} have no score in {scores}: {pairs}"
        if not self.allow_missing:
            raise InputError(f"{text}; score them, or leave them out with --allow-missing")
        print(f"evaluate: warning: {text}", flush=True)


class Evaluation:
    """The scored trials of a list and what is measured on them."""

    def __init__(self, trials: Trials, values: np.ndarray, points: Sequence[OperatingPoint]) -> None:
        self.trials = trials
        self.values = values
        self.points = points
        self.is_target = trials.is_target
        self.scores = TrialScores(values[self.is_target], values[~self.is_target])
        self._bootstrap = None

    def resample(self, speakers: tuple[np.ndarray, np.ndarray], replicates: int, seed: int, used: np.ndarray) -> None:
        """From now on measures come with intervals; `speakers` are of all trials, of which `used` are evaluated."""
        self._bootstrap = np.column_stack(speakers)[used], replicates, seed

    def measure(self, point: OperatingPoint) -> dict[str, Any]:
        """Every number of the whole list."""
        _, threshold = DEFINITIONS["kaldi"](self.scores)
        return {
            **summarize(self.scores, points=self.points),
            "decision": decide(self.scores, point),
            "at_eer_threshold": decision_at(self.scores, point, threshold),
            "confidence": self._confidence(np.ones(len(self.trials), dtype=bool)),
        }

    def break_down(self, name: str, column: Column) -> list[dict[str, Any]]:
        """The main numbers by the values of a column.

        A value that has trials of one kind alone borrows all those of the other: the false alarms of cross-gender
        trials, say, have no targets of their own to be set against.
        """
        rows = []
        for code, value in enumerate(column.values):
            mine = column.codes == code
            if not mine.any():
                continue
            kinds = {"targets": self.is_target, "nontargets": ~self.is_target}
            borrowed = [kind for kind, of_kind in kinds.items() if not (mine & of_kind).any()]
            for kind in borrowed:
                mine |= kinds[kind]
            values, is_target = self.values[mine], self.is_target[mine]
            found = summarize(values[is_target], values[~is_target], self.points)
            row = {"column": name, "value": value, "borrowed": borrowed}
            row.update({kind: int(np.count_nonzero(mine & of_kind)) for kind, of_kind in kinds.items()})
            row.update({key: found[key] for key in ("eer", "eer_threshold", "min_dcf", "min_cllr")})
            confidence = self._confidence(mine)
            rows.append(row | ({"confidence": confidence} if confidence else {}))
        return rows

    def identify(self, top_k: Sequence[int], rank_by: str, sides: TrialSides) -> tuple[dict[str, Any], bytes]:
        """How often the right candidate is among the best, and the picture of who was taken for whom.

        Candidates count as their speakers where those are known. More than a picture can show: no picture.
        """
        enroll, test = (self.trials.enroll_ids, self.trials.enroll), (self.trials.test_ids, self.trials.test)
        (_, questions), (ids, candidates) = (test, enroll) if rank_by == "test" else (enroll, test)
        found = identify(questions, self.is_target, self.values)
        of_trial = np.concatenate((candidates[found.truth], candidates[found.decided]))
        names, codes = np.unique([sides.speaker(ids[code]) or ids[code] for code in of_trial], return_inverse=True)
        truth, decided = np.split(codes, 2)
        names = names.tolist()
        picture = b""
        if len(names) <= MAX_CONFUSED_CLASSES:
            confusion = confusion_matrix(truth, decided, len(names))
            picture = _picture(plot_confusion, confusion, names, "Who was taken for whom")
        wrong, times = np.unique(np.column_stack((truth, decided))[truth != decided], axis=0, return_counts=True)
        return {
            "question": rank_by,
            "questions": found.questions.size,
            "unanswerable": found.num_unanswerable,
            "candidates": {"min": int(found.num_candidates.min()), "max": int(found.num_candidates.max())},
            "top_k": {str(k): found.top_k(k) for k in top_k},
            "confusions": [
                {"truth": names[wrong[at, 0]], "decided": names[wrong[at, 1]], "count": int(times[at])}
                for at in np.argsort(-times, kind="stable")[:NUM_CONFUSIONS]
            ],
        }, picture

    def draw(self, name: str, point: OperatingPoint) -> dict[str, bytes]:
        """The pictures of the whole list as PNG, by file name."""
        _, threshold = least_cost(self.scores, point)
        rate, at_equal_errors = DEFINITIONS["kaldi"](self.scores)
        lines = {f"cheapest at {point.name}:": threshold, f"EER {100 * rate:.2f}% at": at_equal_errors}
        systems = {name: self.scores}
        marked = [*dict.fromkeys([*COMMON_POINTS, point])]
        return {
            "scores.png": _picture(plot_scores, self.scores, lines, f"{name}: scores"),
            "det.png": _picture(plot_det, systems, f"{name}: detection error tradeoff", marked),
            "roc.png": _picture(plot_roc, systems, f"{name}: receiver operating characteristic"),
            "calibration.png": _picture(plot_calibration, self.scores, point, f"{name}: calibration"),
        }

    def _confidence(self, mine: np.ndarray) -> dict[str, Any] | None:
        if self._bootstrap is None:
            return None
        speakers, replicates, seed = self._bootstrap
        targets, nontargets = mine & self.is_target, mine & ~self.is_target
        if np.unique(speakers[mine]).size < MIN_SPEAKERS:
            return None
        found = bootstrap(
            self.values[targets],
            self.values[nontargets],
            speakers[targets][:, 0],
            speakers[nontargets],
            self.points,
            replicates,
            seed,
        )
        return summarize_replicates(found, replicates, seed)


def _picture(draw: Callable[..., None], *arguments: Any) -> bytes:
    stream = io.BytesIO()
    draw(stream, *arguments)
    return stream.getvalue()


def _ascending(option: str, text: str, kind: type) -> list:
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or found[0] <= 0 or sorted(set(found)) != found:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option}: {text!r} will not do: ascending positive {what} with commas between are needed")
    return found


def _system_name(out_dir: str) -> str:
    """`exp/xvector/results/plda` is called `xvector plda`; elsewhere the directory as it was given."""
    match = SYSTEM_DIR.fullmatch(out_dir)
    return " ".join(match.groups()) if match else out_dir


def _config(path: str) -> dict[str, Any] | None:
    if not path:
        return None
    import yaml

    try:
        text = Path(path).read_bytes()
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: not a YAML file") from None
    return {"file": path, "sha256": hashlib.sha256(text).hexdigest(), "content": content}


if __name__ == "__main__":
    Evaluate.run()
