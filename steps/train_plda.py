#!/usr/bin/env python3
"""Mean, LDA and PLDA of training vectors."""

from collections import Counter
from pathlib import Path

from plumbum import cli

from spkid.backend import BackEnd
from spkid.backend.vectors import blaming, load_vectors, speakers_of, table_file, table_specifier
from spkid.jobs import Program, Step, fraction
from spkid.jobs.manifest import manifest
from spkid.kaldi.lists import read_id_map


class TrainPlda(Program):
    """Writes <out-dir>/{mean.vec,transform.mat,plda}, files that Kaldi's programs load.

    PLDA is trained on the vectors less their mean, after LDA and length normalisation, as in Kaldi's recipes. The
    speakers come from utt2spk of the data directory; vectors of other utterances are left out and counted.
    """

    EXAMPLE = "steps/train_plda.py --lda-dim 150 data/train exp/xvector/xvectors_train/xvector.scp exp/xvector/backend"

    lda_dim = cli.SwitchAttr(
        "--lda-dim", cli.Range(0, 100000), default=150, help="dimensions after LDA, fewer than speakers; 0 for no LDA"
    )
    total_covariance_factor = cli.SwitchAttr(
        "--total-covariance-factor",
        float,
        default=0.0,
        help="what LDA makes unit: this much of the total covariance, the rest of the within-speaker covariance",
    )
    num_em_iters = cli.SwitchAttr("--num-em-iters", cli.Range(1, 10000), default=10, help="iterations of PLDA's EM")
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this have a vector"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, vectors: str, out_dir: str) -> int:
        utt2spk_file, out = Path(data_dir) / "utt2spk", Path(out_dir)
        rspecifier = table_specifier(vectors)
        utt2spk = read_id_map(str(utt2spk_file))
        options = {
            "lda_dim": self.lda_dim,
            "total_covariance_factor": self.total_covariance_factor,
            "num_em_iters": self.num_em_iters,
            "vectors": rspecifier,
        }
        inputs = [utt2spk_file, *table_file(rspecifier)]
        outputs = [out / "mean.vec", out / "transform.mat", out / "plda"]
        with Step("train_plda", out, inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            table = load_vectors(rspecifier)
            matrix, speakers, remark = speakers_of(table, utt2spk, str(utt2spk_file), self.min_fraction)
            if remark:
                step.say(f"warning: {remark}")
            single = list(Counter(speakers).values()).count(1)
            if single:
                step.say(f"warning: {single} speakers have a single vector, which says nothing about how speakers vary")
            with blaming(rspecifier):
                backend = BackEnd.fit(matrix, speakers, self.lda_dim, self.total_covariance_factor, self.num_em_iters)
            backend.write(out)
            step.finish(
                f"PLDA of {backend.plda.dims} dimensions from {len(matrix)} vectors of {len(set(speakers))} speakers, "
                f"{self.num_em_iters} iterations, log-likelihood {backend.plda.objective_[-1]:.2f} per vector",
                manifest(table.ids, {key: "has no speaker" for key in table.ids if key not in utt2spk}),
                vectors=len(matrix),
                speakers=len(set(speakers)),
                objective=backend.plda.objective_.tolist(),
            )
        return 0


if __name__ == "__main__":
    TrainPlda.run()
