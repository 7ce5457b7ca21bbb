#!/usr/bin/env bash
# From nothing to an equal error rate on two idle cores in under four minutes, offline: x-vectors of synthetic voices.
#
# The voices are made by espeak-ng in stage 0. Nobody speaks here: the numbers say that the pipeline works, not how well
# it recognises people (egs/speechocean762 does). README.md walks through what each stage writes.
#
# Usage: bash run.sh [--stage 0] [--stop-stage 7] [--nj 2] [--cmd utils/run.py] [--plan true]
#        bash run.sh --stage 3 --train-config conf/ecapa_tdnn.yaml     (or conf/resnet18.yaml: another network)
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=7
nj=2
utterances=15  # of each voice; fewer (at least 8) make a quick trial whose numbers mean nothing
cmd=$train_cmd
plan=false     # true: only tell what would run, and why
train_config=conf/xvector.yaml
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }

trials=data/test/trials
system=exp/$(basename "$train_config" .yaml)
xvectors="$system/xvectors_test/xvector.scp"
statistics=exp/statistics
means=$statistics/vectors_test/statistics.scp

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation: a corpus of synthetic voices"
  local/mini.py prepare --nj "$nj" --utterances "$utterances" --corpus-dir corpus data/train data/test
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC and energy VAD"
  for set in train test; do
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config conf/mfcc.conf data/$set exp/make_mfcc mfcc
    steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" --vad-config conf/vad.conf data/$set exp/make_vad mfcc
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: features for training: sliding mean normalisation, non-speech removed"
  steps/prepare_feats_for_egs.py --nj "$nj" --cmd "$cmd" --min-frames 200 data/train data/train_no_sil exp/train_no_sil
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: training of the network"
  steps/train.py --cmd "$gpu_cmd" --config "$train_config" data/train_no_sil "$system"
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: a vector of each utterance: x-vector, and MFCC statistics to compare with"
  for set in train test; do
    steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" "$system" data/$set "$system/xvectors_$set"
    steps/extract_statistics.py data/$set $statistics/vectors_$set
  done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: mean, LDA and PLDA of the training voices"
  steps/train_plda.py --lda-dim 20 data/train "$system/xvectors_train/xvector.scp" "$system/backend"
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: scores of every pair of test utterances"
  steps/score_trials.py --method cosine $trials $means $means $statistics/results/scores_cosine
  steps/score_trials.py --method cosine $trials $xvectors $xvectors "$system/results/scores_cosine"
  steps/score_trials.py --method plda --backend "$system/backend" $trials $xvectors $xvectors "$system/results/scores_plda"
fi

if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: equal error rates, of synthetic voices: MFCC statistics with cosine, x-vectors with cosine and PLDA"
  steps/evaluate.py $statistics/results/scores_cosine $trials $statistics/results/cosine
  steps/evaluate.py --config "$train_config" "$system/results/scores_cosine" $trials "$system/results/cosine"
  steps/evaluate.py --config "$train_config" "$system/results/scores_plda" $trials "$system/results/plda"
fi
