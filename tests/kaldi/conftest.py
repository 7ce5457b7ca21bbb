"""Property tests run on busy machines: time says nothing about them."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
