"""Which networks others published, and how their keys and shapes translate into ours: one file a source.

A network is recognised by keys that it alone has (`markers`, patterns), its options follow from the shapes of its
tensors, and a short list of (pattern, replacement) turns the original's keys into ours.
"""

from spkid.nnet.published import asv_beginner, speechbrain, threed_speaker, voxceleb_trainer, wespeaker
from spkid.nnet.published.base import Published

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "asv_beginner": asv_beginner.NETWORKS,
    "speechbrain": speechbrain.NETWORKS,
    "3dspeaker": threed_speaker.NETWORKS,
    "voxceleb_trainer": voxceleb_trainer.NETWORKS,
    "wespeaker": wespeaker.NETWORKS,
}

__all__ = ["PUBLISHED", "Published"]
