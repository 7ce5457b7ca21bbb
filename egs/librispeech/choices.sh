# Sourced by run.sh: what follows from its options.

subsets=$(tr ' ' ',' <<<"$train_sets $test_set")
sets="train ${test_set//-/_}"
speech=
! $remove_silence || speech=_speech
train=data/train$speech
test=data/${test_set//-/_}$speech
. utils/miniature.sh
! $mini || . ./mini.sh
changes=()
for setting in $settings; do changes+=(--set "$setting"); done

# has rescnn softmax: whether the network goes through the phase
has() { [[ " $phases " = *" $2 "* ]] && [ -f "conf/$1_$2.yaml" ]; }
of_phase() { for network in $networks; do ! has "$network" "$1" || echo "$network"; done; }
systems=
last_systems=
for network in $networks; do
  last=
  for phase in softmax triplet hard; do ! has "$network" "$phase" || { last=${network}_$phase; systems+=" $last"; }; done
  [ -n "$last" ] || { echo "$0: error: there is no conf/${network}_<phase>.yaml of phases '$phases'" >&2; exit 1; }
  last_systems+=" $last"
done

fused=
[ "$(wc -w <<<"$last_systems")" -lt 2 ] || fused=fusion
result_dirs="$(printf '%s/results/deep_speaker ' $systems $fused) $(printf '%s/results/all_pairs ' $systems $fused)"

# train hard triplet: the phase of $network, starting from the one before where that was gone through
train() {
  local options=("${changes[@]}")
  for setting in $(mini_settings "$network" "$1"); do options+=(--set "$setting"); done
  [ -z "${2:-}" ] || ! has "$network" "$2" || options+=(--initial-model "$exp/${network}_$2")
  [ -z "$gpu_cmd" ] || options+=(--cmd "$gpu_cmd")
  steps/train.py --cmd "$gpu_cmd" --config "conf/${network}_$1.yaml" "${options[@]}" "$train" "$exp/${network}_$1"
}
evaluate() { # a system's scores of a list
  local options=(--name "$1") results=$exp/$1/results
  [ ! -f "conf/$1.yaml" ] || options+=(--config "conf/$1.yaml")
  [ "$2" != deep_speaker ] || options+=(--top-k 1 --rank-by enroll)
  steps/evaluate.py "${options[@]}" "$results/scores_$2" "$exp/trials/$2" "$results/$2"
}
$mini || mini_settings() { :; }
