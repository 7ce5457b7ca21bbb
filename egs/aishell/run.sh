#!/usr/bin/env bash
# AISHELL-1, the laboratory sheet on x-vectors: 300 speakers x 10 utterances to train on, all pairs of 20 x 10 to test with.
#
# Usage: bash run.sh --corpus DIR [--config conf/ecapa_tdnn.yaml] [--stage 0] [--stop-stage 5] [--nj 4] [--cmd utils/run.py]
#
# DIR holds data_aishell, unpacked (local/aishell.py download DIR fetches it, 15 GB). The configurations differ in one line
# each. Where DIR is a miniature (local/miniature.py), networks are narrow and trainings short (mini.sh; --mini false: the
# sheet's sizes). README.md says which option is which of the sheet's.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=5
nj=4
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
corpus=corpus
config=conf/xvector_softmax.yaml
settings=                  # changes to it, blanks between: "loss.name=am_softmax optimizer.lr=0.02"
exp_name=                  # of the system in exp; empty: the configuration's
features=                  # mfcc30, mfcc23, fbank80 (conf/*.conf); empty: as the configuration's name ends, else mfcc30
train_speakers=300
test_speakers=20
utterances=10              # of each of them
seed=0                     # of their draw
layers="near far"          # embeddings that are scored: fc1's output and fc2's
plda=false                 # Kaldi's back end too, trained on the training speakers
lda_dim=150
mini=                      # true: the sizes of mini.sh; empty: where the corpus is a miniature
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }

[ -f "$config" ] || { echo "$0: error: --config $config: no such file" >&2; exit 1; }
exp_name=${exp_name:-$(basename "$config" .yaml)}
case $(basename "$config" .yaml) in *_mfcc23) kind=mfcc23 ;; *_fbank80) kind=fbank80 ;; *) kind=mfcc30 ;; esac
features=${features:-$kind}
! grep -q "name: asv_xvector" "$config" || is_xvector=true
. utils/miniature.sh
! $mini || . ./mini.sh
data=data/$features
system=exp/$exp_name
changes=()
for setting in $settings; do changes+=(--set "$setting"); done
[ "${is_xvector:-false}" = true ] || layers=embedding   # the other networks have one
embed() { # --layer, a set and where to
  local layer=(--layer "$1")
  [ "$1" != embedding ] || layer=()
  steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" "${layer[@]}" "$system" "$data/$2" "$system/xvectors_$2_$1"
}
trials=$data/test/trials

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation, a draw of speakers and utterances"
  local/aishell.py prepare --corpus "$corpus/data_aishell" --train-speakers "$train_speakers" \
    --test-speakers "$test_speakers" --utterances "$utterances" --seed "$seed" "$data"
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: features"
  for set in train test; do
    steps/make_${features%%[0-9]*}.py --nj "$nj" --cmd "$cmd" --${features%%[0-9]*}-config conf/$features.conf "$data/$set" \
      exp/make_$features "$data/archives"
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: training"
  steps/train.py --cmd "$gpu_cmd" --config "$config" "${changes[@]}" "$data/train" "$system"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: embeddings"
  for layer in $layers; do
    embed "$layer" test
    ! $plda || embed "$layer" train
  done
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: scores of all pairs of test utterances"
  for layer in $layers; do
    vectors=$system/xvectors_test_$layer/xvector.scp
    steps/score_trials.py --method cosine "$trials" "$vectors" "$vectors" "$system/results/scores_${layer}_cosine"
    ! $plda || steps/train_plda.py --lda-dim "$lda_dim" "$data/train" "$system/xvectors_train_$layer/xvector.scp" \
      "$system/backend_$layer"
    ! $plda || steps/score_trials.py --method plda --backend "$system/backend_$layer" "$trials" "$vectors" "$vectors" \
      "$system/results/scores_${layer}_plda"
  done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: equal error rates and ROC curves, over all systems trained so far in exp/RESULTS.md"
  for scores in "$system"/results/scores_*_*; do
    steps/evaluate.py --config "$config" --prior 0.05 --data "$data/test" "$scores" "$trials" "${scores/scores_/}"
  done
  utils/make_results.py exp/RESULTS.md exp/*/results/*/results.json
fi
