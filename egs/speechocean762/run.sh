#!/usr/bin/env bash
# speechocean762 (OpenSLR 101): 125 training and 125 test speakers, half of them children, 20 read utterances each.
#
# Usage: bash run.sh [--corpus DIR] [--stage 0] [--stop-stage 8] [--nj 2] [--cmd utils/run.py]
#
# Without --corpus the corpus is downloaded (520 MB). Where it has only its train half, 30 of those speakers are the
# test set. All choices were made on development speakers taken out of the training speakers (README.md). The test
# speakers give no statistics and decide nothing: they are scored with the baseline, with the system chosen, and with
# its calibration and its fusion with the baseline. Numbers: RESULTS.md.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=8
nj=2
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
corpus=                    # folder with WAVE, train and perhaps test; empty: download it into corpus/
dev_speakers=15            # 0: train on them too; say --sets test then
dev_group=0                # which of the disjoint groups of so many speakers, for cross-validation
sets="dev test"            # what is scored
speeds="0.9 1.1"           # of the copies of the training speakers, which are further speakers to train on
train_config=conf/lde_xvector.yaml
input=                     # features of the network: empty for filter banks, _mfcc for MFCC
cmn=none                   # its mean normalisation, as the configuration says
lda_dim=100                # of the system
baseline_lda_dim=60        # the best for the baseline, which is all of its dimensions
data=data
exp=exp
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }

train_sets="train$(printf ' train_sp%s' $speeds)"
system=$exp/$(basename "$train_config" .yaml)
baseline=$exp/baseline     # MFCC statistics with LDA and PLDA of the same training speakers

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation, and copies of the training speakers at other speeds"
  [ -n "$corpus" ] || local/speechocean762.py download corpus
  local/speechocean762.py prepare --corpus "${corpus:-corpus/speechocean762}" --dev-speakers "$dev_speakers" \
    --dev-group "$dev_group" "$data"
  for speed in $speeds; do steps/data/perturb_data_dir_speed.py --nj "$nj" --cmd "$cmd" "$speed" "$data/train" "$data/train_sp$speed"; done
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC for voice activity and the baseline, filter banks for the network"
  for set in $train_sets $sets; do
    dir=$data/$set
    mkdir -p "${dir}_mfcc"
    cp "$dir"/{wav.scp,utt2spk,spk2utt,utt2dur} "${dir}_mfcc"
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config conf/mfcc.conf "${dir}_mfcc" "$exp/make_mfcc" "$data/mfcc"
    steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" "${dir}_mfcc" "$exp/make_vad" "$data/mfcc"
    steps/make_fbank.py --nj "$nj" --cmd "$cmd" --fbank-config conf/fbank.conf "$dir" "$exp/make_fbank" "$data/fbank"
    cp "${dir}_mfcc/vad.scp" "$dir"
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: training set: speakers and copies in one directory, utterances with enough speech"
  utils/combine_data.py "$data/train_all$input" $(printf "$data/%s$input " $train_sets)
  steps/prepare_feats_for_egs.py --nj "$nj" --cmd "$cmd" --on-the-fly true --cmn "$cmn" --min-frames 50 \
    "$data/train_all$input" "$data/train_egs$input" "$exp/train_egs"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: training of the network"
  steps/train.py --cmd "$gpu_cmd" --config "$train_config" "$data/train_egs$input" "$system"
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: a vector of each utterance: x-vector, and MFCC statistics to compare with"
  for set in train_all $sets; do
    steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" "$system" "$data/$set$input" "$system/xvectors_$set"
  done
  for set in train $sets; do steps/extract_statistics.py "$data/${set}_mfcc" "$baseline/xvectors_$set"; done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: LDA and PLDA of the training speakers, for the system together with their copies"
  steps/train_plda.py --lda-dim "$lda_dim" "$data/train_all$input" "$system/xvectors_train_all/xvector.scp" \
    "$system/backend"
  steps/train_plda.py --lda-dim "$baseline_lda_dim" "$data/train" "$baseline/xvectors_train/statistics.scp" \
    "$baseline/backend"
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: scores of all pairs of test (and of development) utterances"
  for set in $sets; do
    for vectors in "$baseline/xvectors_$set/statistics.scp" "$system/xvectors_$set/xvector.scp"; do
      method=$(dirname "$(dirname "$vectors")")
      steps/score_trials.py --method plda --backend "$method/backend" "$data/$set/trials" "$vectors" "$vectors" \
        "$method/results/scores_$set"
    done
  done
fi

if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: equal error rates of the baseline (MFCC statistics) and of the system, all pairs and the balanced list"
  for set in $sets; do
    for list in trials_balanced trials; do
      steps/evaluate.py "$baseline/results/scores_$set" "$data/$set/$list" "$baseline/results/${set}_$list"
      steps/evaluate.py --config "$train_config" "$system/results/scores_$set" "$data/$set/$list" \
        "$system/results/${set}_$list"
      local/speechocean762.py compare "$baseline/results/${set}_$list" "$system/results/${set}_$list"
    done
  done
fi

if [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ] && [ "$sets" = "dev test" ]; then
  echo "Stage 8: cosine and AS-norm on development; calibration and fusion, trained there, on test"
  vectors=$system/xvectors_dev/xvector.scp
  steps/score_trials.py --method cosine --backend "$system/backend" "$data/dev/trials" "$vectors" "$vectors" \
    "$system/results/scores_dev_cosine"
  steps/score_trials.py --method plda --backend "$system/backend" --score-norm as --top-n 300 \
    --cohort "$system/xvectors_train_all/xvector.scp" "$data/dev/trials" "$vectors" "$vectors" \
    "$system/results/scores_dev_asnorm"
  steps/calibrate_scores.py --prior 0.05 "$data/dev/trials" "$system/results/scores_dev" "$system/results/scores_test" \
    "$system/results/scores_test_calibrated"
  steps/fuse_scores.py --prior 0.05 --dev-trials "$data/dev/trials" \
    --dev-scores "$system/results/scores_dev,$baseline/results/scores_dev" \
    "$system/results/scores_test" "$baseline/results/scores_test" "$exp/fusion/results/scores_test"
  for scores in "$system/results/scores_"{dev_cosine,dev_asnorm,test_calibrated} "$exp/fusion/results/scores_test"; do
    result=${scores/scores_/}
    set=$(basename "$result" | cut -d_ -f1)
    steps/evaluate.py --config "$train_config" --prior 0.05 --data "$data/$set" --bootstrap 200 \
      "$scores" "$data/$set/trials" "$result"
  done
fi
