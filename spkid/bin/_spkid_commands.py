"""The commands of `spkid`."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plumbum import cli

from spkid.backend.methods import METHODS
from spkid.features import VadOptions
from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.options import fill_from_config
from spkid.kaldi.tables import VECTOR, TableWriter, is_table

if TYPE_CHECKING:  # torch takes seconds to start: not for --help
    import numpy as np

    from spkid.train.embedder import Embedder
    from spkid.train.verification import Decision, Enrolled, Judge


class WithModel(Program):
    """What all commands share: the network."""

    model = cli.SwitchAttr(
        "--model", str, mandatory=True, argname="EXP-DIR", help="of steps/train.py or steps/import_model.py"
    )
    vad_config = cli.SwitchAttr(
        "--vad-config",
        str,
        default="",
        argname="FILE",
        help="options of compute-vad, for a network of speech alone that does not say how its speech was found",
    )

    def open_model(self) -> Embedder:
        """The network with its front end."""
        from spkid.train.embedder import Embedder

        vad = fill_from_config(self.vad_config, [VadOptions])[0] if self.vad_config else None
        return Embedder(self.model, vad)


class WithDecision(WithModel):
    """What the commands share that score."""

    method = cli.SwitchAttr(
        "--method",
        cli.Set(*METHODS, case_sensitive=True),
        default="",
        help="how to score (default: plda with --backend, else cosine)",
    )
    backend = cli.SwitchAttr("--backend", str, default="", argname="DIR", help="what steps/train_plda.py wrote")
    threshold = cli.SwitchAttr("--threshold", float, argname="SCORE", help="from this score on the answer is yes")
    results = cli.SwitchAttr(
        "--results", str, default="", argname="DIR", help="take the threshold of this evaluation (steps/evaluate.py)"
    )
    calibration = cli.SwitchAttr(
        "--calibration",
        str,
        default="",
        argname="FILE",
        help="scores that steps/calibrate_scores.py wrote, or their .model.json: log-likelihood ratio and probability",
    )
    prior = cli.SwitchAttr(
        "--prior", float, help="probability of the same speaker before listening (default: the calibration's)"
    )
    as_json = cli.Flag("--json", help="print JSON instead of a table")

    def open_judge(self) -> Judge:
        """The scores' meaning, as the options say."""
        from spkid.train.verification import Judge, Threshold, read_calibration, read_threshold

        method = self.method or ("plda" if self.backend else "cosine")
        if self.threshold is not None and self.results:
            raise InputError("give --threshold or --results, not both")
        threshold = read_threshold(self.results, method) if self.results else None
        if self.threshold is not None:
            threshold = Threshold(self.threshold, "given")
        calibration = read_calibration(self.calibration, method) if self.calibration else None
        return Judge(method, self.backend or None, threshold, calibration, self.prior)


class Embed(WithModel):
    """Writes an embedding of each recording: a file of any audio format, or what else may stand in wav.scp.

    Recordings of another sampling rate are resampled. Features, their normalisation and the choice of speech are those
    of the network's training. The id of a recording is its file's name without the suffix.
    """

    EXAMPLE = "spkid embed --model exp/xvector --output ark,scp:vectors.ark,vectors.scp a.wav b.flac"

    output = cli.SwitchAttr(
        "--output", str, default="ark,t:-", argname="TABLE", help="wspecifier of the vectors (default: text to stdout)"
    )

    def main(self, *recordings: str) -> int:
        _need(recordings, 1)
        if not is_table(self.output):
            raise InputError(f"--output {self.output}: no table; write for example ark,scp:vectors.ark,vectors.scp")
        embedder = self.open_model()
        vectors = [(key, embedder.embed(one)) for key, one in zip(_ids(recordings), recordings, strict=True)]
        with TableWriter(self.output, VECTOR) as writer:
            for key, vector in vectors:
                writer.write(key, vector)
        return 0


class Verify(WithDecision):
    """Says whether two recordings are of one speaker: the score, and a decision where a threshold is known.

    The threshold is given (--threshold), that of an evaluation (--results), or follows from a calibration and the prior
    (--calibration).
    """

    EXAMPLE = (
        "spkid verify --model exp/xvector --backend exp/xvector/backend --results exp/xvector/results/plda a.wav b.wav"
    )

    def main(self, first: str, second: str) -> int:
        from spkid.train.verification import as_table

        judge, embedder = self.open_judge(), self.open_model()
        left, right = (as_table([one], [embedder.embed(one)], one) for one in (first, second))
        decision = judge.decide(judge.scores(left, right)[0, 0])
        if self.as_json:
            print(json.dumps({"first": first, "second": second, "method": judge.method, **decision.as_dict()}))
            return 0
        print(f"{f'score ({judge.method})':<20} {decision.score:.4f}")
        _print_meaning(decision)
        if decision.same is None:
            print("decision             none: --threshold, --results or --calibration gives one")
        else:
            print(f"decision             {'same speaker' if decision.same else 'different speakers'}")
        return 0


class Enroll(WithModel):
    """Writes the mean embedding of each speaker of DIRECTORY, a folder of recordings a speaker, to OUT-DIR.

    OUT-DIR holds spk_xvector.scp and num_utts.ark, as that of steps/extract_xvectors.py; `spkid identify --enrolled`
    takes either.
    """

    EXAMPLE = "spkid enroll --model exp/xvector recordings_by_speaker enrolled"

    def main(self, directory: cli.ExistingDirectory, out_dir: str) -> int:
        from spkid.train.verification import enroll, write_enrolled

        enrolled = enroll(self.open_model(), str(directory))
        write_enrolled(enrolled, out_dir)
        print(f"{len(enrolled.table)} speakers of {enrolled.counts.sum()} recordings in {out_dir}")
        return 0


class Identify(WithDecision):
    """Ranks the enrolled speakers for each recording, the likeliest first.

    Enrolled are the speakers of a table of vectors (spk_xvector.scp, or a directory with one: of `spkid enroll` or
    steps/extract_xvectors.py), or of a directory that holds a folder of recordings for each speaker. With a threshold
    (--threshold, --results, --calibration) the answer may be: none of them.
    """

    EXAMPLE = "spkid identify --model exp/xvector --enrolled enrolled --top 3 a.wav"

    enrolled = cli.SwitchAttr("--enrolled", str, mandatory=True, argname="DIR", help="who it may be")
    top = cli.SwitchAttr("--top", cli.Range(1, 10**9), default=5, argname="N", help="how many to print")

    def main(self, *recordings: str) -> int:
        _need(recordings, 1)
        from spkid.train.verification import as_table, enroll, read_enrolled

        judge = self.open_judge()
        known = read_enrolled(self.enrolled)
        embedder = self.open_model()
        known = known or enroll(embedder, self.enrolled)
        tests = as_table(recordings, [embedder.embed(one) for one in recordings], "the recordings")
        columns = judge.scores(known.table, tests, known.counts).T
        answers = [self._rank(judge, known, column) for column in columns]
        if self.as_json:
            print(
                json.dumps({one: _as_list(ranked) for one, ranked in zip(recordings, answers, strict=True)}, indent=1)
            )
            return 0
        for recording, ranked in zip(recordings, answers, strict=True):
            print(f"{recording}: {_answer(ranked)}")
            width = max(len(name) for name, _ in ranked)
            for place, (name, decision) in enumerate(ranked, 1):
                probability = "" if decision.probability is None else f"  probability {100 * decision.probability:.2f}%"
                print(f"  {place:3d}  {name:{width}s}  {decision.score:9.4f}{probability}")
        return 0

    def _rank(self, judge: Judge, known: Enrolled, scores: np.ndarray) -> list[tuple[str, Decision]]:
        best = (-scores).argsort(kind="stable")[: self.top]
        return [(known.table.ids[row], judge.decide(scores[row])) for row in best]


COMMANDS: dict[str, type[Program]] = {"embed": Embed, "verify": Verify, "enroll": Enroll, "identify": Identify}


def run(name: str, arguments: Sequence[str]) -> int:
    """Runs the command of this name."""
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        kind = "option" if name.startswith("-") else "command"
        print(f"spkid: error: unknown {kind} {name} ({hint})", file=sys.stderr)
        return 1
    _, status = COMMANDS[name].run([f"spkid {name}", *arguments], exit=False)
    return status


def _need(recordings: Sequence[str], count: int) -> None:
    if len(recordings) < count:
        raise InputError("which recordings? Give one file or more")


def _ids(recordings: Sequence[str]) -> list[str]:
    """File names without suffix; where two would be the same, whole paths."""
    stems = [Path(one).stem for one in recordings]
    counts = Counter(stems)
    keys = [stem if counts[stem] == 1 else one for stem, one in zip(stems, recordings, strict=True)]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: is given twice")
    return keys


def _print_meaning(decision: Decision) -> None:
    if decision.log_likelihood_ratio is not None:
        print(f"log-likelihood ratio {decision.log_likelihood_ratio:.4f}")
        print(f"probability          {100 * decision.probability:.2f}%")
    if decision.threshold is not None:
        print(f"threshold            {decision.threshold:.4f} ({decision.origin})")


def _answer(ranked: list[tuple[str, Decision]]) -> str:
    name, decision = ranked[0]
    if decision.same is None:
        return f"most like {name}"
    return f"{name}" if decision.same else f"none of the enrolled speakers (most like {name})"


def _as_list(ranked: list[tuple[str, Decision]]) -> list[dict[str, object]]:
    return [{"speaker": name, **decision.as_dict()} for name, decision in ranked]
