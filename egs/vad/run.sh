#!/usr/bin/env bash
# Voice activity detection by LSTM: the laboratory's three networks, and one for other recipes, on noisy speech.
#
# Usage: bash run.sh --corpus DIR [--stage 0] [--stop-stage 8] [--nj 2] [--cmd utils/run.py]
#
# DIR holds the laboratory's train.lst, valid.lst and single.lst (names of .mat files with X and Y) and under wav/
# recordings with labels beside them (.voz, .lab, .txt, .rttm); README.md says which stage uses what, and how to use
# recordings alone (--kind wav). Where DIR is a miniature (local/miniature.py vad --rate 8000 DIR), networks are narrow;
# --mini false: the laboratory's sizes.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=8
nj=2
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
corpus=                    # what the comment above says
kind=mat                   # mat: features and labels of the .lst; wav: MFCC and labels of wav/{train,valid,single}
clean=                     # recordings with labels and little noise, train/ and valid/; by default DIR/clean, or DIR/wav
noises=                    # a folder of noises of each kind (one called babble*: of voices); empty: synthetic ones
snrs="20 15 10 5 0"        # dB
rate=8000                  # of the recordings: change conf/mfcc.conf with it
start=20                   # where the 10 s of the picture begin, in seconds
mini=                      # true: 48 channels, a higher rate, more segments of few files; empty: where DIR is a miniature
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }
[ -d "$corpus" ] || { echo "$0: error: --corpus '$corpus' is not a folder (--help says what it holds)" >&2; exit 1; }
. utils/miniature.sh
noise_kinds=synthetic
[ -z "$noises" ] || noise_kinds=$(find -L "$noises" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)
[ -n "$noise_kinds" ] || { echo "$0: error: --noises $noises holds no folder of noises" >&2; exit 1; }

networks="lstm blstm lstm2"
sets="train valid single"
data=data/$kind
type=$([ "$kind" = mat ] && echo mat || echo mfcc)
[ -n "$clean" ] || { [ -d "$corpus/clean" ] && clean=$corpus/clean; } || clean=$corpus/wav
small="--set model.channels=48 --set optimizer.lr=0.003 --set data.chunks_per_utterance"
lab_options=$(! $mini || echo $small=32)
noisy_options=$(! $mini || echo $small=8)
conditions() { for noise in $noise_kinds; do for snr in $snrs; do printf "$1 " "$noise" "$snr"; done; done; }

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data: features and labels of $sets, and the recordings of the pictures"
  for set in $sets; do
    [ "$kind" = mat ] || local/vad_lab.py labels --corpus "$corpus/wav/$set" "$data/$set"
    [ "$kind" = mat ] || steps/make_mfcc.py --nj "$nj" --cmd "$cmd" "$data/$set" exp/make_mfcc "$data/mfcc"
    [ "$kind" = wav ] || local/vad_lab.py mat --list "$corpus/$set.lst" "$data/$set"
  done
  local/vad_lab.py labels --corpus "$corpus/wav/single" data/single_wav
fi

recording=$(head -n 1 "data/single_wav/wav.scp" | cut -d ' ' -f 1)

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: a look at the recording: duration, waveform, mel spectrogram, labels, amount of speech"
  mkdir -p exp
  utils/plot_audio.py --data data/single_wav --vad data/single_wav/vad.scp --name labels --start "$start" \
    --seconds 30 "$recording" exp/recording.png
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: training of the laboratory's networks: $networks"
  for network in $networks; do
    steps/train.py --cmd "$gpu_cmd" --config conf/$network.yaml --set features.type=$type $lab_options \
      --valid-data "$data/valid" "$data/train" exp/$network
  done
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: decisions on the validation set and on the one long recording"
  for network in $networks; do
    for set in valid single; do
      steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" --model exp/$network --output-dir exp/$network/$set "$data/$set"
    done
  done
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: accuracy, confusion matrices (rows are the truth), 10 s of waveform with true and predicted labels"
  for network in $networks; do
    for set in valid single; do
      steps/evaluate_vad.py "$data/$set/vad.scp" exp/$network/$set/vad.scp exp/$network/results/$set
    done
    utils/plot_audio.py --data data/single_wav --vad "$data/single/vad.scp" --vad exp/$network/single/vad.scp \
      --name truth --name $network --start "$start" --seconds 10 "$recording" exp/$network/overlay.png
  done
  utils/compare_vad.py $(printf -- '--system %s=exp/%s ' lstm{,} blstm{,} lstm2{,}) --table exp/results.md valid single
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: clean speech mixed with noise at $snrs dB, other noises for training than for test; MFCC"
  for set in train valid; do
    local/vad_lab.py labels --corpus "$clean/$set" data/clean/$set
    for noise in $noise_kinds; do
      local/vad_lab.py noise ${noises:+--corpus "$noises/$noise"} --half $([ $set = train ] && echo first || echo second) \
        --rate "$rate" data/noise/${set}_$noise
      for snr in $snrs; do
        steps/data/augment_data_dir.py --utt-suffix "$noise-$snr" --bg-snrs "$snr" --bg-noise-dir data/noise/${set}_$noise \
          data/clean/$set data/noisy/${set}_${noise}_$snr
      done
    done
  done
  utils/combine_data.py data/noisy/train data/clean/train $(conditions data/noisy/train_%s_%s)
  for set in train $(conditions valid_%s_%s); do
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" data/noisy/$set exp/make_mfcc data/mfcc
  done
fi

if [ "$stage" -le 6 ] && [ "$stop_stage" -ge 6 ]; then
  echo "Stage 6: a network trained on all of the noisy speech of the training speakers, and on the clean"
  steps/train.py --cmd "$gpu_cmd" --config conf/noisy.yaml $noisy_options data/noisy/train exp/noisy
fi

if [ "$stage" -le 7 ] && [ "$stop_stage" -ge 7 ]; then
  echo "Stage 7: decisions by energy and by the network"
  decide="steps/compute_vad_decision.py --nj $nj --smoothing 5"
  for condition in $(conditions %s/%s); do
    noisy=data/noisy/valid_${condition/\//_}
    $decide --cmd "$cmd" --vad-config conf/vad_kaldi.conf --output-dir exp/energy_kaldi/$condition $noisy
    $decide --cmd "$cmd" --output-dir exp/energy/$condition $noisy
    $decide --cmd "$cmd" --model exp/noisy --output-dir exp/noisy/$condition $noisy
  done
fi

if [ "$stage" -le 8 ] && [ "$stop_stage" -ge 8 ]; then
  echo "Stage 8: energy and network compared over the signal-to-noise ratio"
  for condition in $(conditions %s/%s); do
    for system in energy_kaldi energy noisy; do
      steps/evaluate_vad.py data/noisy/valid_${condition/\//_}/vad.scp exp/$system/$condition/vad.scp \
        exp/$system/results/$condition
    done
  done
  for noise in $noise_kinds; do
    utils/compare_vad.py --system "energy, Kaldi's options=exp/energy_kaldi" --system "energy=exp/energy" \
      --system "LSTM=exp/noisy" --table exp/noisy/results_$noise.md --picture exp/noisy/accuracy_$noise.png \
      $(printf "$noise/%s " $snrs)
  done
fi
