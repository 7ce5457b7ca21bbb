#!/usr/bin/env bash
# Deep Speaker on LibriSpeech: silence removed, softmax, random triplets, hard triplets, fusion of a CNN and a GRU.
#
# Usage: bash run.sh [--corpus DIR] [--networks "rescnn gru"] [--stage 0] [--stop-stage 8] [--nj 4] [--cmd utils/run.py]
#
# DIR is the folder LibriSpeech; without it train-clean-100 and test-clean are downloaded (6.7 GB). Each network goes
# through the phases of which there is a conf/<network>_<phase>.yaml, each starting from the phase before. More data:
# --train-sets "train-clean-100 train-clean-360"; mini LibriSpeech (0.5 GB): --train-sets train-clean-5
# --test-set dev-clean-2. Where DIR is a miniature (local/miniature.py), networks are narrow and trainings short (mini.sh).
# README.md has the options of the original.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=8
nj=4
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
gpu_cmd=                   # launcher of the trainings; empty: they run right here
use_gpu=false              # for extraction
corpus=
train_sets=train-clean-100
test_set=test-clean
remove_silence=true        # false: the audio stays as it is
threshold=15               # dB below which a chunk of 50 ms is silence
networks="rescnn gru"      # also simple_cnn, xvector, ecapa_tdnn
phases="softmax triplet hard"
rounds=1                   # of 1 anchor, 1 positive and 99 negatives for every test speaker
settings=                  # changes to all configurations, blanks between: "data.workers=0 device=cpu"
exp=exp
mini=                      # true: the sizes of mini.sh; empty: where the corpus is a miniature
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }
. ./choices.sh

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation"
  [ -n "$corpus" ] || local/librispeech.py download --subsets "$subsets" corpus
  local/librispeech.py prepare --corpus "${corpus:-corpus/LibriSpeech}" --subsets "$subsets" data
  utils/combine_data.py data/train $(printf 'data/%s ' ${train_sets//-/_})
  for set in $sets; do utils/get_utt2dur.py --nj "$nj" "data/$set"; done
fi

if $remove_silence && [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: silence below $threshold dB removed"
  for set in $sets; do
    steps/data/remove_silence.py --nj "$nj" --cmd "$cmd" --threshold "$threshold" --min-duration 1.61 \
      "data/$set" "data/$set$speech" "$exp/remove_silence" data/speech
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: trials: one anchor, one positive and 99 negatives for every test speaker; and all pairs"
  mkdir -p "$exp/trials"
  utils/make_trials.py --negatives 99 --rounds "$rounds" "$test" "$exp/trials/deep_speaker"
  utils/make_trials.py "$test" "$exp/trials/all_pairs"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: training on all speakers by softmax"
  for network in $(of_phase softmax); do train softmax; done
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: training on random triplets"
  for network in $(of_phase triplet); do train triplet softmax; done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: training on hard triplets from the history table"
  for network in $(of_phase hard); do train hard triplet; done
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: a vector of each test utterance, after every phase"
  for system in $systems; do
    steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" --use-gpu "$use_gpu" \
      "$exp/$system" "$test" "$exp/$system/xvectors_test"
  done
fi

if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: cosine of all pairs; error rates of both lists"
  for system in $systems; do
    vectors=$exp/$system/xvectors_test/xvector.scp
    for list in deep_speaker all_pairs; do
      steps/score_trials.py "$exp/trials/$list" "$vectors" "$vectors" "$exp/$system/results/scores_$list"
      evaluate "$system" "$list"
    done
  done
fi

if [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ]; then
  echo "Stage 8: fusion of the networks after their last phase; the table"
  for list in deep_speaker all_pairs; do
    if [ -n "$fused" ]; then
      steps/fuse_scores.py --method zscore $(printf "$exp/%s/results/scores_$list " $last_systems) \
        "$exp/fusion/results/scores_$list"
      evaluate fusion "$list"
    fi
  done
  local/librispeech.py table "$exp/results.md" $(printf "$exp/%s " $result_dirs)
fi
