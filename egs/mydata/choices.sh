# Sourced by run.sh: what follows from its options.

fail() { echo "run.sh: error: $*" >&2; exit 1; }
absolute() { # of a path as it was meant where run.sh was called; else of one in the recipe
  case $1 in
    "" | /* | statistics) echo "$1" ;;
    *) if [ -e "$called_from/$1" ]; then echo "$called_from/$1"; else echo "$1"; fi ;;
  esac
}

[ -n "$data$train$test" ] || fail "say where your recordings are: --data DIR, or --train DIR --test DIR (--help)"
[ -z "$data" ] || [ -z "$train$test" ] || fail "--data divides one collection: give it, or --train and --test"
divide=true
declare -A given=([all]=$(absolute "$data"))
if [ -z "$data" ]; then
  [ -n "$train" ] && [ -n "$test" ] || fail "--train and --test go together; --data DIR divides one collection"
  divide=false
  given=([train]=$(absolute "$train") [test]=$(absolute "$test"))
fi
for place in "${given[@]}"; do [ -e "$place" ] || fail "$place: no such file or folder"; done
initial_model=$(absolute "$initial_model")
[ -z "$initial_model" ] || [ -f "$initial_model" ] || [ -f "$initial_model/final.json" ] \
  || fail "--initial-model $initial_model: no such file, and no experiment directory"
mfcc_config=$(absolute "$mfcc_config")
[ -z "$mfcc_config" ] || [ -f "$mfcc_config" ] || fail "--mfcc-config $mfcc_config: no such file"
config=$(absolute "$config")
[ -z "$config" ] || [ "$config" = statistics ] || [ -f "$config" ] || fail "--config $config: no such file"
trials=$(absolute "$trials")
[ -z "$trials" ] || [ -f "$trials" ] || fail "--trials $trials: no such file"
[ -z "$initial_model" ] || [ "$rate" != 0 ] || rate=16000 # what published networks heard
case $out in /* | .) ;; *) out=$called_from/$out ;; esac

data=data exp=exp
[ "$out" = . ] || { data=$out/data exp=$out/exp; }
import=$exp/import
changes=()
for setting in $settings; do changes+=(--set "$setting"); done
min_frames=$(awk -v s="$min_seconds" 'BEGIN { printf "%d", 100 * s }')

collected() { [ "$1" = all ] && echo "$data/collected" || echo "$data/collected_$1"; }
audio="wav.scp segments utt2spk spk2utt utt2dur reco2dur spk2gender"
copy_files() { # from, to, names: only what has changed, and what is not there is not there afterwards
  mkdir -p "$2"
  for file in $3; do
    if [ ! -f "$1/$file" ]; then rm -f "$2/$file"; elif ! cmp -s "$1/$file" "$2/$file"; then cp "$1/$file" "$2"; fi
  done
}
find_speech() { # data/train_all -> data/train: utterances with enough speech, of speakers with two utterances to train on
  local all=$data/$1_all utts=1
  [ "$1" = test ] || utts=2
  utils/get_utt2dur.py --nj "$nj" "$all"
  copy_files "$all" "$data/$1_mfcc" "$audio"
  steps/make_mfcc.py --nj "$nj" --cmd "$cmd" --mfcc-config "conf/mfcc_$(cat "$data/rate").conf" "$data/$1_mfcc" "$exp/make_mfcc" "$data/mfcc"
  steps/compute_vad_decision.py --nj "$nj" --cmd "$cmd" --vad-config conf/vad.conf "$data/$1_mfcc" "$exp/make_vad" "$data/mfcc"
  steps/prepare_feats_for_egs.py --nj "$nj" --cmd "$cmd" --on-the-fly true --min-frames "$min_frames" --min-utts $utts \
    "$data/$1_mfcc" "$data/$1_speech" "$exp/speech_$1"
  copy_files "$data/$1_speech" "$data/$1" "$audio vad.scp vad.json"
}
import_initial_model() { # into $import
  if [ -d "$initial_model" ]; then
    copy_files "$initial_model" "$import" "final.json final.safetensors speakers.txt"
  elif [ -n "$initial_model" ]; then
    steps/import_model.py --source "$source" ${mfcc_config:+--mfcc-config "$mfcc_config"} "$initial_model" "$import"
  fi
}
follow_choice() {
  . "$exp/choice.sh"
  system=$exp/$choice_name
  input=
  [ "$choice_source" != files ] || input=_speech
  scored="$system:cosine"
  ! $choice_plda || scored="$scored $system:plda"
  [ "$choice_source" != none ] || scored=$system:$choice_method
  [ -z "$initial_model" ] || scored="$import:cosine $scored"
}
vectors() { # of a system and a set
  if [ "$choice_source" = none ]; then echo "$1/xvectors_$2/statistics.scp"; else echo "$1/xvectors_$2/xvector.scp"; fi
}
extract() {
  if [ "$choice_source" = none ]; then
    steps/extract_statistics.py "$data/$2_speech" "$1/xvectors_$2"
  else
    steps/extract_xvectors.py --nj "$nj" --cmd "$cmd" --use-gpu "$use_gpu" "$1" "$data/$2$input" "$1/xvectors_$2"
  fi
}
make_trials() { # those given, as far as both utterances have speech; else all pairs, or a choice of them
  if [ -z "$trials" ]; then utils/make_trials.py $choice_trials "$data/test" "$data/test/trials"; return; fi
  utils/filter_scp.py -f 1 "$data/test/utt2spk" "$trials" | utils/filter_scp.py -f 2 "$data/test/utt2spk" > "$data/test/trials.new"
  mv "$data/test/trials.new" "$data/test/trials"
  echo "trials: $(wc -l < "$data/test/trials") of the $(wc -l < "$trials") of $trials are of utterances that are used"
  [ -s "$data/test/trials" ] || fail "$trials: names no utterance of $data/test/utt2spk; its ids are those of that file"
}
score() { # a system, and cosine or plda
  local backend=()
  [ "$2" != plda ] || backend=(--backend "$1/backend")
  steps/score_trials.py --method "$2" "${backend[@]}" "$data/test/trials" "$(vectors "$1" test)" "$(vectors "$1" test)" \
    "$1/results/scores_$2"
}
results() { # a word for each evaluation: what it is called, and where it lies
  for one in $scored; do
    case $one in
      "$import":*) printf "%s " "import,cosine=$import/results/cosine" ;;
      *) printf "%s " "$choice_name,${one##*:}=$system/results/${one##*:}" ;;
    esac
  done
}
