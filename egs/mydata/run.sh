#!/usr/bin/env bash
# Your own recordings: a data check, a system of the right size or a published network fine-tuned, a threshold to use.
#
# Usage: bash run.sh --data DIR                      one collection, divided by speaker
#        bash run.sh --train DIR --test DIR [--trials FILE]
#        bash run.sh --data DIR --initial-model FILE --source wespeaker     fine-tuning, with a before and after
#
# DIR is a folder with a folder of recordings for each speaker, a CSV or TSV table (columns path, speaker; perhaps start
# and end), or a data directory of Kaldi's. Further options: --prior 0.01 (share of comparisons that are of one person),
# --config FILE or statistics (instead of the choice by size), --settings "KEY=VALUE ...", --rate 8000, --test-share 0.2,
# --out DIR, --stage 0 --stop-stage 5 --nj 2 --cmd utils/run.py --use-gpu false. README.md begins at the beginning.
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")"
. ../../path.sh
. ./cmd.sh

stage=0
stop_stage=5
nj=2
cmd=$train_cmd
plan=false                 # true: only tell what would run, and why
use_gpu=false              # for extraction; training takes a GPU where there is one
data=                      # one collection, divided by speaker
train=                     # or two
test=
trials=                    # pairs of test utterances that matter: `a b target|nontarget`; empty: all pairs
test_share=0.2             # of the speakers of --data
path_column=               # what a table calls its columns, where README.md does not have the name
speaker_column=
segments=                  # of start and end: "begin,finish"
rate=0                     # 8000 or 16000; 0: what suits the recordings
min_seconds=0.5            # of an utterance, and of the speech in it
prior=0.01                 # share of comparisons that are of one person, for the threshold
config=                    # YAML file, or statistics; empty: chosen by size
settings=                  # changes to it, blanks between: "schedule.epochs=8 data.workers=4"
initial_model=             # checkpoint to fine-tune, of --source; or an experiment directory
mfcc_config=               # the MFCC of its training, where the checkpoint does not tell (asv_beginner)
source=wespeaker           # wespeaker, 3dspeaker, speechbrain, voxceleb_trainer, asv_beginner
out=.                      # data/ and exp/ are written there
. utils/parse_options.sh
[ $# -eq 0 ] || { echo "$0: error: options only, not '$1' (--help lists them)" >&2; exit 1; }
. ./choices.sh

if [ "$stage" -le 0 ] && [ "$stop_stage" -ge 0 ]; then
  echo "Stage 0: your recordings: what there is, what is wrong with it, what is used"
  for set in "${!given[@]}"; do
    local/mydata.py collect --base "$called_from" --path-column "$path_column" --speaker-column "$speaker_column" \
      --segments "$segments" "${given[$set]}" "$(collected $set)"
    utils/describe_data_dir.py --nj "$nj" --min-seconds "$min_seconds" "$(collected $set)" "$exp/check/$set"
  done
  local/mydata.py select --nj "$nj" --rate "$rate" --divide "$divide" --test-share "$test_share" "$data" "$exp/check"
fi

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
  echo "Stage 1: MFCC and where there is speech; a system of the right size"
  for set in train test; do find_speech $set; done
  import_initial_model
  local/mydata.py choose --rate "$(cat "$data/rate")" --config "$config" ${initial_model:+--initial "$import"} \
    "$data/train" "$data/test" "$exp"
fi
[ ! -f "$exp/choice.sh" ] || follow_choice

if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ] && [ "$choice_source" != none ]; then
  echo "Stage 2: training of $choice_name"
  steps/train.py --cmd "$gpu_cmd" --config "$choice_config" "${changes[@]}" "$data/train$input" "$system"
fi

if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
  echo "Stage 3: a vector of each utterance"
  for set in train test; do extract "$system" $set; done
  if [ -n "$initial_model" ]; then extract "$import" test; fi
fi

if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
  echo "Stage 4: trials and scores; labels that sound wrong"
  make_trials
  if $choice_plda; then steps/train_plda.py --lda-dim "$choice_lda_dim" "$data/train" "$(vectors "$system" train)" "$system/backend"; fi
  for one in $scored; do score "${one%%:*}" "${one##*:}"; done
  utils/audit_labels.py --test-data "$data/test" --test-vectors "$(vectors "$system" test)" "$data/train" \
    "$(vectors "$system" train)" "$exp/audit"
fi

if [ "$stage" -le 5 ] && [ "$stop_stage" -ge 5 ]; then
  echo "Stage 5: error rates, the threshold where $prior of the comparisons are of one person, and what to do next"
  for one in $scored; do
    steps/evaluate.py --prior "$prior" --data "$data/test" --bootstrap 200 --name "${one//:/ }" \
      "${one%%:*}/results/scores_${one##*:}" "$data/test/trials" "${one%%:*}/results/${one##*:}"
  done
  local/mydata.py summary --test "$data/test" --decisions "$data/decisions" --method "$choice_method" "$exp" "$system" $(results)
fi
