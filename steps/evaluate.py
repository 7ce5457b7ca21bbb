#!/usr/bin/env python3
"""Equal error rate, detection costs and pictures of scored trials."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from plumbum import cli

from spkid.backend.trials import MatchedScores, Trials, read_scores, read_trials, repeated_pairs, self_comparisons
from spkid.backend.vectors import blaming, first_ids
from spkid.jobs import Program, Step
from spkid.jobs.step import versions
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.metrics.plots import plot_det, plot_scores
from spkid.metrics.summary import summarize, summary_line


class Evaluate(Program):
    """Writes <out-dir>/{results.json,det.png,scores.png} and prints one line: EER, minDCF(.01), minDCF(.05).

    The scores may stand in any order, and hold more pairs than the list. A trial without a score is an error.
    """

    EXAMPLE = "steps/evaluate.py exp/xvector/results/scores_plda data/test/trials exp/xvector/results/plda"

    config = cli.SwitchAttr("--config", str, default="", help="configuration of the system, kept in results.json")
    allow_missing = cli.Flag("--allow-missing", help="leave out, and count, trials that have no score")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, scores: str, trials: str, out_dir: str) -> int:
        out = Path(out_dir)
        inputs = [scores, trials, *([self.config] if self.config else [])]
        outputs = [out / name for name in ("results.json", "det.png", "scores.png")]
        options = {"allow_missing": self.allow_missing}
        with Step("evaluate", out, inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            listed = read_trials(trials)
            if listed.is_target is None:
                raise InputError(
                    f"{trials}: the trials have no labels (target or nontarget), so errors cannot be counted"
                )
            matched = read_scores(scores, listed)
            self._check_complete(scores, listed, matched)
            used = ~matched.missing
            targets = matched.scores[used & listed.is_target]
            nontargets = matched.scores[used & ~listed.is_target]
            with blaming(f"{scores} on {trials}"):
                measures = summarize(targets, nontargets)
            results = {
                **measures,
                "trials": {
                    "file": trials,
                    "md5": listed.md5,
                    "count": len(listed),
                    "targets": int(np.count_nonzero(listed.is_target)),
                    "nontargets": int(np.count_nonzero(~listed.is_target)),
                    "without_score": int(np.count_nonzero(matched.missing)),
                    "repeated": repeated_pairs(listed),
                    "self_comparisons": int(np.count_nonzero(self_comparisons(listed))),
                },
                "scores": {"file": scores, "unused_lines": matched.num_unused},
                "config": _config(self.config),
                "versions": versions(),
            }
            with atomic_write(outputs[0]) as stream:
                json.dump(results, stream, indent=1, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            with atomic_write(outputs[1], "wb") as stream:
                plot_det(stream, {out.name: (targets, nontargets)}, title=f"{out}: detection error tradeoff")
            with atomic_write(outputs[2], "wb") as stream:
                plot_scores(
                    stream,
                    targets,
                    nontargets,
                    np.inf if measures["eer_threshold"] is None else measures["eer_threshold"],
                    title=f"{out}: scores",
                    label=f"EER {100 * measures['eer']:.2f}% at",
                )
            line = summary_line(measures, int(np.count_nonzero(used)), targets.size)
            step.finish(f"{out}: {line}", eer=measures["eer"])
        return 0

    def _check_complete(self, scores: str, trials: Trials, matched: MatchedScores) -> None:
        count = int(np.count_nonzero(matched.missing))
        if not count:
            return
        pairs = first_ids([f"({trials.pair(int(index))})" for index in np.flatnonzero(matched.missing)[:6]])
        text = f"{count} of the {len(trials)} trials of {trials.source} have no score in {scores}: {pairs}"
        if not self.allow_missing:
            raise InputError(f"{text}; score them, or leave them out with --allow-missing")
        print(f"evaluate: warning: {text}", flush=True)


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
