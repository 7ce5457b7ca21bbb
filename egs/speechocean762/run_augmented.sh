#!/usr/bin/env bash
# Augmentation: the network of run.sh trained on clean audio, and on audio in rooms and with noise, both tested on clean
# speech and on a noisy and reverberant copy of it, whose rooms and noises were not in training.
#
# Usage: bash run_augmented.sh --rirs DIR --noises DIR [--stage 0] [--stop-stage 6] [--nj 2] [--cmd utils/run.py]
#
# After stages 0 to 2 of run.sh. DIR: see local/held_out_noise.py --help. Numbers: RESULTS.md, "Noise and rooms".
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=6
nj=2
cmd=$train_cmd
rirs=                      # folders of impulse responses
noises=                    # folders of noises, and one of voices
sets="dev test"            # what is scored
configs="lde_xvector_audio lde_xvector_augmented"    # conf/*.yaml; dir: of augmentation is below data/
lda_dim=100
bootstrap=200              # resamplings for the intervals
data=data
exp=exp
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: rooms and noises in two halves, to train and to test with"
  local/held_out_noise.py --rirs "$rirs" --noises "$noises" "$data"
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: noisy and reverberant copies of what is scored; their own voice activity"
  for set in $sets; do
    copy=$data/${set}_noisy
    steps/data/reverberate_data_dir.py --rir-set-parameters "1, $data/rooms_test/rir_list" \
      --pointsource-noise-addition-probability 0 --isotropic-noise-addition-probability 0 \
      "$data/$set" "$data/${set}_reverberant"
    steps/data/augment_data_dir.py --utt-suffix noisy --bg-noise-dir "$data/noises_test" --bg-snrs 15:12:9:6:3:0 \
      "$data/${set}_reverberant" "$copy"
    mkdir -p "${copy}_mfcc"
    cp "$copy"/{wav.scp,utt2spk,spk2utt,utt2dur} "${copy}_mfcc"
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config conf/mfcc.conf "${copy}_mfcc" "$exp/make_mfcc" "$data/mfcc"
    steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" "${copy}_mfcc" "$exp/make_vad" "$data/mfcc"
    cp "${copy}_mfcc/vad.scp" "$copy"
    awk '{print $1 "-noisy", $2 "-noisy", $3}' "$data/$set/trials" > "$copy/trials"
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: training from audio"
  for system in $configs; do
    steps/train.py --cmd "$gpu_cmd" --config "conf/$system.yaml" "$data/train_egs" "$exp/$system"
  done
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: a vector of each utterance"
  for system in $configs; do
    for set in train_all $sets $(printf '%s_noisy ' $sets); do
      steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" "$exp/$system" "$data/$set" "$exp/$system/xvectors_$set"
    done
  done
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: LDA and PLDA of the clean training speakers and their copies at other speeds"
  for system in $configs; do
    steps/train_plda.py --lda-dim "$lda_dim" "$data/train_all" "$exp/$system/xvectors_train_all/xvector.scp" \
      "$exp/$system/backend"
  done
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: scores of all pairs, clean with clean and noisy with noisy"
  for system in $configs; do
    for set in $sets $(printf '%s_noisy ' $sets); do
      vectors=$exp/$system/xvectors_$set/xvector.scp
      steps/score_trials.py --method plda --backend "$exp/$system/backend" "$data/$set/trials" "$vectors" "$vectors" \
        "$exp/$system/results/scores_$set"
    done
  done
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: equal error rates, and curves of both systems in one picture"
  for set in $sets; do
    for copy in "$set" "${set}_noisy"; do
      for system in $configs; do
        steps/evaluate.py --name "$system $copy" --config "conf/$system.yaml" --data "$data/$copy" \
          --bootstrap "$bootstrap" "$exp/$system/results/scores_$copy" "$data/$copy/trials" \
          "$exp/$system/results/${copy}_trials"
      done
    done
    local/speechocean762.py curves "$exp/noise_$set.png" \
      $(for system in $configs; do echo "$exp/$system/results/$set"_trials "$exp/$system/results/${set}"_noisy_trials; done)
  done
  utils/make_results.py "$exp/noise.md" $(for system in $configs; do
    for set in $sets; do echo "$exp/$system/results/$set"{,_noisy}_trials/results.json; done; done)
fi
