# Sourced by choices.sh for a miniature corpus of local/miniature.py (36 speakers to train on, ten utterances each), or
# --mini true: sizes for one core. Rates on it say that the recipe works, and nothing about LibriSpeech.

mini_settings() { # a network and its phase
  local epochs=10
  [ "$1" = gru ] || epochs=4 # the GRU learns fastest
  echo threads=1 device=cpu data.workers=0 validation.every=100
  case $1 in
    rescnn) echo model.channels=4 model.embedding_dim=64 ;;
    simple_cnn) echo model.channels=8 model.embedding_dim=64 ;;
    gru) echo model.channels=64 model.num_layers=1 model.embedding_dim=64 ;;
    xvector) echo model.channels=96 model.pooled_channels=256 model.embedding_dim=128 ;;
    ecapa_tdnn) echo model.channels=64 model.pooled_channels=192 ;;
  esac
  case $2 in
    softmax) echo optimizer.lr=0.01 "schedule.epochs=$epochs" ;;
    triplet) echo optimizer.lr=3e-4 schedule.epochs=2 ;;
    hard) echo optimizer.lr=3e-4 'schedule={"name":"constant","epochs":2}' \
      'data.hard_negatives={"speakers":36,"utterances":2,"rounds":4,"anchors":8}' data.micro_batch=48 ;;
  esac
}
