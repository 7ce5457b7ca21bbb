# Sourced by run.sh: what follows from its options.

fail() { echo "$0: error: $*" >&2; exit 1; }
data=data                  # the configurations name data/musan_noise and so on
train_lists="o o_cleaned e e_cleaned h h_cleaned"
$eval_only || . utils/miniature.sh
$eval_only || ! $mini || . ./mini.sh
changes=()
for setting in $settings; do changes+=(--set "$setting"); done

if $eval_only; then
  [ -f "$initial_model" ] || fail "--eval-only needs --initial-model, a file, not '$initial_model'"
  data=data/eval           # other directories than those of training: no VoxCeleb2 in them
  name=$(basename "$initial_model")
  name=${name%.*}
  lists=${lists:-o o_cleaned}
  scoring=cosine
  [ "$source" != voxceleb_trainer ] || scoring=crops
else
  [ -f "$config" ] || fail "--config $config: no such file"
  name=$(basename "$config" .yaml)
  scoring=plda
  ! grep -q "source: audio" "$config" || scoring=cosine
  ! grep -q "type: waveform" "$config" || scoring=crops
  [ $scoring != plda ] || train_lists="o o_cleaned" # it trains on the speakers of E and H
  lists=${lists:-$train_lists}
fi
system=exp/$name
results=$system/results

# E and H are of all of VoxCeleb1, O of its test speakers
test_set=voxceleb1_test
[[ " $lists" != *" "[eh]* ]] || test_set=voxceleb1
corpora=(--voxceleb1 "${voxceleb1:-$corpus/voxceleb1}")
[ -z "$convert" ] || corpora+=(--convert "$convert" --nj "$nj")
$eval_only || corpora+=(--voxceleb2 "${voxceleb2:-$corpus/voxceleb2}")
prepared=$test_set
$eval_only || prepared="voxceleb2_train voxceleb2_test voxceleb1_train $test_set"
trials() {
  case $1 in
    dev) echo "$data/dev/trials" ;;
    o*) echo "$data/voxceleb1_test/trials_$1" ;;
    *) echo "$data/voxceleb1/trials_$1" ;;
  esac
}
vectors() { [ "$1" = dev ] && echo "$system/xvectors_dev/xvector.scp" || echo "$system/xvectors_test/xvector.scp"; }

# sets: what vectors are extracted of; backend: whose mean (and PLDA) is used; dev: the list to calibrate on
kaldi=$data/kaldi
case $scoring in
  plda)
    train=$kaldi/train_no_sil backend=$kaldi/train dev=
    sets="train:$backend test:$kaldi/voxceleb1_test"
    score=(--method plda --backend "$system/backend")
    ;;
  cosine)
    train=$data/voxceleb2_train backend=$data/cohort dev=dev lda_dim=0
    sets="train:$backend dev:$data/dev test:$data/$test_set"
    score=(--method cosine --backend "$system/backend")
    normalized=asnorm
    ;;
  crops)
    train=$data/voxceleb2_train backend= dev=dev
    sets="dev:$data/dev test:$data/$test_set"
    score=(--method crop-distance)
    normalized=crops
    ;;
esac
if $eval_only; then
  backend= dev= sets="test:$data/$test_set"
  [ $scoring = crops ] || score=(--method cosine)
fi
cohort=$system/xvectors_train/spk_xvector.scp
kinds=$scoring
[ -z "$dev" ] || kinds="$(printf '%s\n' "$scoring" "$normalized" calibrated | uniq | tr '\n' ' ')"
described=(--data "$data/$test_set")
$eval_only || described+=(--config "$config")
copy_audio() { # a data directory that may have features, of one that is written anew each time
  mkdir -p "$2"
  for file in wav.scp utt2spk spk2utt utt2dur vad.scp; do
    [ ! -f "$1/$file" ] || cmp -s "$1/$file" "$2/$file" || cp "$1/$file" "$2"
  done
}
training=(--cmd "$gpu_cmd" --num-processes "$num_processes")
[ -z "$dev" ] || training+=(--dev-data "$data/dev")
extraction=(--nj "$nj" --cmd "$cmd" --use-gpu "$use_gpu")
[ $scoring != crops ] || extraction+=(--crops 10 --crop-frames "$crop_frames")
quality=()
! $qmf || quality=(--durations "$data/dev/utt2dur,$data/$test_set/utt2dur")
! $qmf || [ $scoring = crops ] || quality+=(--cohort-means)

# Kaldi's voxceleb/v2
rooms=(--rir-set-parameters "0.5, $data/rirs_smallroom/rir_list"
  --rir-set-parameters "0.5, $data/rirs_mediumroom/rir_list"
  --pointsource-noise-addition-probability 0 --isotropic-noise-addition-probability 0)
noise=(--fg-interval 1 --fg-snrs 15:10:5:0 --fg-noise-dir "$data/musan_noise")
music=(--bg-snrs 15:10:8:5 --num-bg-noises 1 --bg-noise-dir "$data/musan_music")
babble=(--bg-snrs 20:17:15:13 --num-bg-noises 3:4:5:6:7 --bg-noise-dir "$data/musan_speech")
