# Sourced by choices.sh for a miniature corpus of local/miniature.py (some 30 speakers to train on, ten utterances each), or
# --mini true: sizes for one core. Rates on it say that the recipe works, and nothing about VoxCeleb.

schedule="schedule.epochs=12"
wespeaker="schedule.epochs=12 schedule.final=0.05 schedule.warmup_epochs=1 averaging.last_epochs=2"
wespeaker+=" margin_schedule.start_epoch=2 margin_schedule.full_epoch=4 model.embedding_dim=64"
wespeaker+=' optimizer={"name":"adam","lr":0.003} data.micro_batch=16 data.micro_batches=1 data.chunks_per_utterance=2'
xvector="data.chunk_frames=[150] model.channels=96 model.pooled_channels=256 model.embedding_dim=128"
case $(basename "$config" .yaml) in
  *_lm) sizes="schedule.epochs=2 data.chunk_frames=[300] data.micro_batch=16 data.micro_batches=1" ;;
  xvector) sizes="$schedule $xvector" ;;
  ecapa_tdnn) sizes="$wespeaker model.channels=64 model.pooled_channels=192" ;;
  resnet34) sizes="$wespeaker model.channels=4" ;;
  campplus) sizes="$wespeaker model.channels=32 model.growth=8" ;;
  resnet_se34*) sizes="$schedule model.channels=8 model.embedding_dim=64" ;;
  rawnet3) sizes="$schedule model.channels=64 model.embedding_dim=64 model.sinc_stride=40" ;;
  *) sizes=$schedule ;;
esac
settings="threads=1 device=cpu data.workers=0 data.micro_batch=32 $sizes $settings"
num_copies=300
min_frames=100
lda_dim=20
dev_targets=150
top_n=15
