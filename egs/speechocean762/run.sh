#!/usr/bin/env bash
# speechocean762 (OpenSLR 101): 125 training and 125 test speakers, 20 utterances each, read English, half of them children.
#
# Usage: bash run.sh [--corpus DIR] [--stage 0] [--stop-stage 7] [--nj 2] [--cmd utils/run.py]
#
# Without --corpus the corpus is downloaded (520 MB). Where it has only its train half, 30 of those speakers are the test
# set. All choices were made on development speakers taken out of the training speakers (README.md); the test speakers
# give no statistics and are scored once, with the system chosen and with the baseline. RESULTS.md holds the numbers.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=7
nj=2
cmd=$train_cmd
corpus=                    # folder with WAVE, train and perhaps test; empty: download it
download_dir=corpus
dev_speakers=15            # 0: no development set, train on them too
speeds="0.9 1.1"           # of the copies of the training speakers that are trained on as further speakers
train_config=conf/light_xvector.yaml
lda_dim=120
data=data
exp=exp
. utils/parse_options.sh

sets="dev test"
[ "$dev_speakers" -gt 0 ] || sets=test
system=$exp/$(basename "$train_config" .yaml)
baseline=$exp/baseline     # MFCC statistics with LDA and PLDA of the same training speakers
joint=$system/joint        # x-vector and MFCC statistics of an utterance in one vector

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation, and copies of the training speakers at other speeds"
  if [ -z "$corpus" ]; then
    local/speechocean762.py download "$download_dir"
    corpus=$download_dir/speechocean762
  fi
  local/speechocean762.py prepare --corpus "$corpus" --dev-speakers "$dev_speakers" "$data"
  copies=
  for speed in $speeds; do
    utils/perturb_data_dir_speed.py "$speed" "$data/train" "$data/train_sp$speed"
    copies="$copies $data/train_sp$speed"
  done
  utils/combine_data.py "$data/train_sp" "$data/train" $copies
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC for voice activity and the baseline, filter banks for the network"
  for set in train_sp $sets; do
    utils/copy_data_dir.py "$data/$set" "$data/${set}_mfcc"
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config conf/mfcc.conf "$data/${set}_mfcc" "$exp/make_mfcc" "$data/mfcc"
    steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" --vad-config conf/vad.conf \
      "$data/${set}_mfcc" "$exp/make_vad" "$data/mfcc"
    steps/make_fbank.py --nj "$nj" --cmd "$cmd" --fbank-config conf/fbank.conf "$data/$set" "$exp/make_fbank" "$data/fbank"
    cp "$data/${set}_mfcc/vad.scp" "$data/$set/vad.scp"
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: the training set: utterances long enough; normalisation and removal of non-speech while reading"
  steps/prepare_feats_for_egs.py --nj "$nj" --cmd "$cmd" --on-the-fly true --cmn utterance --min-frames 50 \
    "$data/train_sp" "$data/train_sp_egs" "$exp/train_sp_egs"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: x-vector training"
  steps/train.py --config "$train_config" "$data/train_sp_egs" "$system"
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: x-vectors, MFCC statistics, and both in one vector"
  for set in train_sp $sets; do
    steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" "$system" "$data/$set" "$system/xvectors_$set"
    steps/extract_statistics.py "$data/${set}_mfcc" "$baseline/vectors_$set"
    steps/append_vectors.py "$joint/vectors_$set" \
      "$system/xvectors_$set/xvector.scp" "$baseline/vectors_$set/statistics.scp"
  done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: mean, LDA and PLDA of the training speakers; with their copies for the system, without for the baseline"
  steps/train_plda.py --lda-dim 60 "$data/train" "$baseline/vectors_train_sp/statistics.scp" "$baseline/backend"
  steps/train_plda.py --lda-dim "$lda_dim" "$data/train_sp" "$joint/vectors_train_sp/vector.scp" "$joint/backend"
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: scores of all pairs"
  for set in $sets; do
    vectors=$baseline/vectors_$set/statistics.scp
    steps/score_trials.py --method plda --backend "$baseline/backend" "$data/$set/trials" "$vectors" "$vectors" \
      "$baseline/results/scores_$set"
    vectors=$joint/vectors_$set/vector.scp
    steps/score_trials.py --method plda --backend "$joint/backend" "$data/$set/trials" "$vectors" "$vectors" \
      "$system/results/scores_$set"
  done
fi

if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: equal error rates of the baseline (MFCC statistics) and the system, all pairs and the balanced list"
  for set in $sets; do
    for list in trials trials_balanced; do
      steps/evaluate.py "$baseline/results/scores_$set" "$data/$set/$list" "$baseline/results/${set}_$list"
      steps/evaluate.py --config "$train_config" "$system/results/scores_$set" "$data/$set/$list" \
        "$system/results/${set}_$list"
      local/speechocean762.py compare "$baseline/results/${set}_$list" "$system/results/${set}_$list"
    done
  done
fi
