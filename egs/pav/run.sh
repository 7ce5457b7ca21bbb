#!/usr/bin/env bash
# PAV speaker identification: a network names the speaker of every frame, the frames of a file vote.
#
# Usage: bash run.sh --corpus DIR [--features mfcc] [--stage 0] [--stop-stage 4] [--nj 4] [--cmd utils/run.py]
#
# DIR holds mcp/ (or wav/, for --features mfcc) and the lists: cfg/all.train and cfg/all.test as in the original, or
# lists/{train,valid,test}.list. Each can be named: --db-path, --tr-list-file, --va-list-file, --te-list-file. Without a
# validation list a tenth of the training files is held out. README.md says which option is which of the original's.
set -euo pipefail
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=4
nj=4
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
corpus=corpus
db_path=                   # empty: mcp or wav below --corpus
tr_list_file=              # empty: below --corpus
va_list_file=
te_list_file=
ext=                       # of the files: empty for mcp, or wav with --features mfcc
spk2idx=                   # a file that numbers the speakers; empty: in the order of their names
features=mcp               # or mfcc, computed from recordings with conf/mfcc.conf
config=conf/mlp.yaml
settings=                  # changes to it, blanks between: "model.channels=200 model.frames=11"
save_path=                 # empty: exp/<config>_<features>
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }

data=data/$features
system=${save_path:-exp/$(basename "$config" .yaml)_$features}
lists=$corpus/lists
list() { [ -f "$corpus/cfg/all.$1" ] && echo "$corpus/cfg/all.$1" || echo "$lists/$1.list"; }
files=(--tr-list-file "${tr_list_file:-$(list train)}" --te-list-file "${te_list_file:-$(list test)}")
[ -n "$va_list_file" ] || [ ! -f "$lists/valid.list" ] || [ -n "$tr_list_file" ] || va_list_file=$lists/valid.list
validation=()
[ -z "$va_list_file" ] || { files+=(--va-list-file "$va_list_file") && validation=(--valid-data "$data/dev"); }
[ -z "$spk2idx" ] || files+=(--spk2idx "$spk2idx")
kind=$([ "$features" = mcp ] && echo mcp || echo wav)
changes=(--set "features.type=$features")
for setting in $settings; do changes+=(--set "$setting"); done

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: data preparation from the lists"
  local/pav.py --db-path "${db_path:-$corpus/$kind}" --ext "${ext:-$kind}" "${files[@]}" "$data"
fi

if [ "$features" != mcp ] && [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC of the recordings"
  for set in train ${va_list_file:+dev} test; do
    steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config conf/mfcc.conf "$data/$set" exp/make_mfcc mfcc
  done
fi

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
  echo "Stage 2: training of the network"
  steps/train.py --cmd "$gpu_cmd" --config "$config" "${changes[@]}" "${validation[@]}" "$data/train" "$system"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: who speaks in the test files, by the weights of the best and of the last epoch"
  steps/classify_utterances.py "$system" "$data/test" "$system/results/best"
  steps/classify_utterances.py --weights last "$system" "$data/test" "$system/results/last"
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: losses and accuracies"
  utils/plot_curves.py "$system" "$system/results/curves.png"
fi
