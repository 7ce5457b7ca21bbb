# Sourced by run.sh for a miniature corpus of local/miniature.py, or --mini true: all of its speakers, and networks that
# one core trains on them in seconds. Rates on it say that the recipe works, and nothing about AISHELL.

train_speakers=0
test_speakers=0
lda_dim=20
sizes="model.channels=128 model.pooled_channels=384 model.embedding_dim=128"
! grep -q "name: ecapa_tdnn" "$config" || sizes="model.channels=64 model.pooled_channels=192"
settings="threads=1 device=cpu schedule.epochs=12 schedule.milestones=[8,11] data.micro_batch=32 data.chunk_frames=[200] optimizer.lr=0.05 $sizes $settings"
