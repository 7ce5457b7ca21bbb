#!/usr/bin/env bash
# VoxCeleb: training on VoxCeleb2, the trials O, E and H of VoxCeleb1; published networks on the same trials.
#
# Usage: bash run.sh --corpus DIR [--config conf/ecapa_tdnn.yaml] [--stage 0] [--stop-stage 10] [--nj 8] [--cmd "..."]
#        bash run.sh --corpus DIR --eval-only true --initial-model baseline_lite_ap.model --source voxceleb_trainer
#
# DIR holds voxceleb1, voxceleb2, musan and RIRS_NOISES (or name each: --voxceleb1 DIR ...). conf/xvector.yaml trains on
# features (stages 1 to 4: Kaldi's voxceleb/v2) and scores with PLDA; the others train on audio that is augmented while
# it is read. conf/*_lm.yaml fine-tune what the configuration without _lm has trained: --config conf/ecapa_tdnn_lm.yaml
# --stage 5. Where DIR is a miniature (local/miniature.py), networks are narrow and trainings short (mini.sh; --mini false:
# the published sizes). README.md says which option is which of the originals.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=10
nj=8
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
num_processes=1            # of the training, a GPU each
use_gpu=false              # for extraction
corpus=corpus
voxceleb1=                 # empty: below --corpus
voxceleb2=
musan=
rirs=
convert=                   # folder for WAV of VoxCeleb2's m4a; empty: ffmpeg decodes them whenever they are read
config=conf/ecapa_tdnn.yaml
settings=                  # changes to it, blanks between: "optimizer.lr=0.01 data.workers=16"
lists=                     # of trials; empty: o o_cleaned, and e e_cleaned h h_cleaned where training has no VoxCeleb1
eval_only=false            # evaluate --initial-model, a checkpoint of --source; --settings are then of its network
initial_model=
source=voxceleb_trainer
crop_frames=400            # of the ten crops of an utterance, for networks of the VoxCeleb trainer
num_copies=1000000         # augmented utterances on disk (xvector), drawn from four of each original
min_frames=400             # of speech, for training (xvector)
lda_dim=200                # of PLDA (xvector)
cohort_utts=20             # of each training speaker: their means are the cohort of AS-norm
top_n=300                  # of the cohort
dev_utts=40                # of each test speaker of VoxCeleb2, for calibration
dev_targets=20000          # trials of each kind there
qmf=false                  # durations and cohort means join the calibration
mini=                      # true: the sizes of mini.sh; empty: where the corpus is a miniature
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }
. ./choices.sh

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation"
  local/voxceleb.py prepare "${corpora[@]}" "$data"
  for set in $prepared; do
    [ "$data/$set/utt2dur" -nt "$data/$set/wav.scp" ] || utils/get_utt2dur.py --nj "$nj" "$data/$set"
  done
  if ! $eval_only; then
    local/musan.py prepare --corpus "${musan:-$corpus/musan}" "$data"
    local/rirs_noises.py prepare --corpus "${rirs:-$corpus/RIRS_NOISES}" "$data"
    utils/combine_data.py "$data/rirs" "$data"/rirs_{small,medium,large}room
  fi
  if [ -n "$dev" ]; then
    utils/subset_data_dir.py --per-spk "$data/voxceleb2_test" "$dev_utts" "$data/dev"
    utils/make_trials.py --balanced --targets "$dev_targets" "$data/dev" "$data/dev/trials"
    utils/subset_data_dir.py --per-spk "$train" "$cohort_utts" "$data/cohort"
  fi
fi

if [ $scoring = plda ] && [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC and voice activity"
  utils/combine_data.py "$kaldi/all" "$data"/{voxceleb2_train,voxceleb2_test,voxceleb1_train}
  copy_audio "$kaldi/all" "$kaldi/train"
  copy_audio "$data/voxceleb1_test" "$kaldi/voxceleb1_test"
  for set in "$kaldi"/{train,voxceleb1_test}; do
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" "$set" exp/make_mfcc mfcc
    steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" "$set" exp/make_vad mfcc
  done
fi

if [ $scoring = plda ] && [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: copies in rooms, with noise, music and babble, as lines of wav-reverberate"
  steps/data/reverberate_data_dir.py "${rooms[@]}" "$kaldi/train" "$kaldi/train_rooms"
  utils/copy_data_dir.py --utt-suffix=-reverb "$kaldi/train_rooms" "$kaldi/train_reverb"
  steps/data/augment_data_dir.py --utt-suffix noise "${noise[@]}" "$kaldi/train" "$kaldi/train_noise"
  steps/data/augment_data_dir.py --utt-suffix music "${music[@]}" "$kaldi/train" "$kaldi/train_music"
  steps/data/augment_data_dir.py --utt-suffix babble "${babble[@]}" "$kaldi/train" "$kaldi/train_babble"
fi

if [ $scoring = plda ] && [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: MFCC of some of the copies; originals and copies together"
  utils/combine_data.py "$kaldi/train_aug" "$kaldi"/train_{reverb,noise,music,babble}
  utils/subset_data_dir.py "$kaldi/train_aug" "$num_copies" "$kaldi/train_aug_some"
  copy_audio "$kaldi/train_aug_some" "$kaldi/train_copies"
  steps/make_mfcc.py --nj "$nj" --cmd "$cmd" "$kaldi/train_copies" exp/make_mfcc mfcc
  utils/combine_data.py "$kaldi/train_combined" "$kaldi/train_copies" "$kaldi/train"
fi

if [ $scoring = plda ] && [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: features for training, without mean and silence; no short utterances, no speakers with few of them"
  steps/prepare_feats_for_egs.py --nj "$nj" --cmd "$cmd" --min-frames "$min_frames" --min-utts 8 \
    "$kaldi/train_combined" "$train" exp/train_no_sil
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  if $eval_only; then
    echo "Stage 5: the network of $initial_model"
    steps/import_model.py --source "$source" "${changes[@]}" "$initial_model" "$system"
  else
    echo "Stage 5: training"
    steps/train.py --config "$config" "${changes[@]}" "${training[@]}" "$train" "$system"
  fi
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: embeddings"
  for set in $sets; do
    steps/extract_xvectors.py "${extraction[@]}" "$system" "${set#*:}" "$system/xvectors_${set%%:*}"
  done
fi

if [ -n "$backend" ] && [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: mean, LDA and PLDA of training speakers"
  steps/train_plda.py --lda-dim "$lda_dim" --total-covariance-factor 0 "$backend" "$system/xvectors_train/xvector.scp" \
    "$system/backend"
fi

if [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ]; then
  echo "Stage 8: scores"
  for list in $dev $lists; do
    steps/score_trials.py "${score[@]}" "$(trials $list)" "$(vectors $list)" "$(vectors $list)" \
      "$results/scores_${list}_$scoring"
  done
fi

if [ -n "$dev" ] && [ "$stage" -le 9 ] && [ "$stop_stage" -ge 9 ]; then
  echo "Stage 9: scores normalised by a cohort of training speakers (AS-norm), and calibrated"
  for list in $dev $lists; do
    [ $scoring = crops ] || steps/score_trials.py "${score[@]}" --score-norm as --top-n "$top_n" --cohort "$cohort" \
      "$(trials $list)" "$(vectors $list)" "$(vectors $list)" "$results/scores_${list}_$normalized"
  done
  for list in $lists; do
    steps/calibrate_scores.py --prior 0.05 "${quality[@]}" "$(trials dev)" "$results/scores_dev_$normalized" \
      "$results/scores_${list}_$normalized" "$results/scores_${list}_calibrated"
  done
fi

if [ "$stage" -le 10 ] && [ "$stop_stage" -ge 10 ]; then
  echo "Stage 10: error rates and plots"
  for list in $lists; do
    for kind in $kinds; do
      steps/evaluate.py --prior 0.05 "${described[@]}" "$results/scores_${list}_$kind" "$(trials $list)" \
        "$results/${list}_$kind"
    done
    ! $eval_only || local/voxceleb.py summary "$system" "${list}_$scoring"
  done
  utils/make_results.py "$system/RESULTS.md" \
    $(for list in $lists; do printf "$results/${list}_%s/results.json " $kinds; done)
fi
