#!/usr/bin/env python3
"""Closed-set identification: which of the training speakers speaks in each utterance, and how often that is right."""

import io
import json
import shlex
import sys
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.data.front_end import feature_files
from spkid.jobs import Program, Step, fraction
from spkid.jobs.failures import account_for
from spkid.jobs.manifest import manifest
from spkid.jobs.step import versions
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import VECTOR, TableWriter, read_id_map
from spkid.metrics.identification import confusion_matrix, identify
from spkid.train.experiment import DESCRIPTION, WEIGHTS
from spkid.train.initialization import SPEAKERS

MAX_CONFUSED_CLASSES = 400  # more would be less than two dots each in the picture
NUM_CONFUSIONS = 20


class ClassifyUtterances(Program):
    """Decides for the speaker with the largest sum of log-probabilities over an utterance's frames.

    EXP-DIR holds a network that names speakers (frame_mlp, see egs/pav). OUT-DIR receives decisions (`file<TAB>speaker`
    lines; `file` as utt2path has it where there is one, else the utterance), log_probabilities.scp (of each utterance
    a vector: the mean over its frames, in the order of EXP-DIR/speakers.txt), and, from the speakers in utt2spk,
    results.json and confusion.png.
    """

    EXAMPLE = "steps/classify_utterances.py exp/mlp data/test exp/mlp/results"

    top_k = cli.SwitchAttr(
        "--top-k", str, default="1,5", argname="K,K,...", help="how often the speaker is among the k most probable"
    )
    weights = cli.SwitchAttr(
        "--weights",
        cli.Set("final", "last", case_sensitive=True),
        default="final",
        help="final: those training ended with (of the best epoch, with patience.keep: best); last: of the last epoch",
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=1.0, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, exp_dir: str, data_dir: str, out_dir: str) -> int:
        exp, data, out = Path(exp_dir), DataDir(data_dir), Path(out_dir)
        ranks = self._ranks()
        data.check(needs=("utt2spk",))
        has_paths = data.has("utt2path")
        inputs = [*(exp / name for name in (WEIGHTS, DESCRIPTION, SPEAKERS)), *feature_files(data.root)]
        inputs += [data.path("utt2path")] * has_paths + [exp / "checkpoints"] * (self.weights == "last")
        outputs = [out / name for name in ("decisions", "log_probabilities.scp", "results.json")]
        options = {"top_k": ranks, "weights": self.weights}
        with Step("classify_utterances", out, inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            from spkid.train.classification import classify  # torch: not for a step that is done already

            failed: dict[str, str] = {}
            found = classify(exp, data.root, data.utterances, failed, self.weights == "last")
            account_for(step, data_dir, len(data.utterances), dict(sorted(failed.items())), self.min_fraction)
            decided = dict(zip(found.utterances, found.decided, strict=True))
            names = read_id_map(data.path("utt2path")) if has_paths else {}
            with atomic_write(out / "decisions") as stream:
                stream.writelines(f"{names.get(one, one)}\t{speaker}\n" for one, speaker in decided.items())
            means = found.log_probabilities / found.num_frames[:, None]
            table = f"ark,scp:{out / 'log_probabilities.ark'},{out / 'log_probabilities.scp'}"
            with TableWriter(table, VECTOR) as writer:
                for utterance, row in zip(found.utterances, means.astype(np.float32), strict=True):
                    writer.write(utterance, row)
            results, picture = self._measure(found, [data.utt2spk[one] for one in found.utterances], ranks, str(out))
            results |= {
                "experiment": str(exp),
                "data": data_dir,
                "failed": len(failed),
                "command": shlex.join(word for word in sys.argv if word != "--force"),
                "versions": versions(),
            }
            if picture:
                with atomic_write(out / "confusion.png", "wb") as stream:
                    stream.write(picture)
            else:
                (out / "confusion.png").unlink(missing_ok=True)  # of an earlier run
            with atomic_write(out / "results.json") as stream:
                json.dump(results, stream, indent=1, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            step.finish(f"{out}: {_spell(results)}", manifest(data.utterances, failed))
        return 0

    def _ranks(self) -> list[int]:
        words = self.top_k.split(",")
        ranks = [int(word) for word in words if word.isdecimal()]
        if len(ranks) < len(words) or ranks[0] < 1 or sorted(set(ranks)) != ranks:
            raise InputError(f"--top-k: {self.top_k!r} will not do: ascending whole numbers with commas between them")
        return ranks

    def _measure(self, found, speakers: list[str], ranks: list[int], title: str) -> tuple[dict, bytes]:
        """How often the decision is right, and the picture of who was taken for whom; of known speakers only."""
        column = {speaker: index for index, speaker in enumerate(found.speakers)}
        known = np.array([speaker in column for speaker in speakers])
        results = {
            "utterances": len(speakers),
            "speakers": len(found.speakers),
            "of_unknown_speakers": int(np.count_nonzero(~known)),
            "identification_rate": None,
            "chance": 1 / len(found.speakers),
        }
        if not known.any():
            return results, b""
        truth = np.array([column[speaker] for speaker in speakers if speaker in column])
        values = found.log_probabilities[known]
        questions = np.repeat(np.arange(len(truth)), len(column))
        is_target = np.arange(len(column)) == truth[:, None]
        ranking = identify(questions, is_target.ravel(), values.ravel())
        confusion = confusion_matrix(truth, values.argmax(axis=1), len(column))
        results["identification_rate"] = ranking.top_k(1)
        results["top_k"] = {str(k): ranking.top_k(k) for k in ranks}
        results["confusions"] = _confusions(confusion, found.speakers)
        if len(column) > MAX_CONFUSED_CLASSES:
            return results, b""
        from spkid.metrics.plots import plot_confusion

        picture = io.BytesIO()
        plot_confusion(picture, confusion, found.speakers, f"{title}: who was taken for whom")
        return results, picture.getvalue()


def _confusions(confusion: np.ndarray, speakers: list[str]) -> list[dict]:
    """The pairs taken for each other most often."""
    wrong = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:NUM_CONFUSIONS]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        {"truth": speakers[row], "decided": speakers[column], "count": int(wrong[row, column])}
        for row, column in pairs
        if wrong[row, column]
    ]


def _spell(results: dict) -> str:
    count = f"{results['utterances']} utterances, {results['speakers']} speakers"
    if results["identification_rate"] is None:
        return f"{count}, none of them known: decisions only"
    rates = [f"{100 * rate:.2f}% top {k}" for k, rate in results["top_k"].items() if k != "1"]
    unknown = results["of_unknown_speakers"]
    parts = [f"identification rate {100 * results['identification_rate']:.2f}%", *rates]
    parts.append(f"chance {100 * results['chance']:.2f}%")
    return f"{' | '.join(parts)} | {count}" + (f" ({unknown} of unknown speakers left out)" if unknown else "")


if __name__ == "__main__":
    ClassifyUtterances.run()
