"""What a step says of the utterances that it could not do."""

from collections.abc import Mapping

from spkid.jobs.step import Step
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

SHOWN_FAILURES = 10


def account_for(step: Step, source: str, given: int, failed: Mapping[str, str], min_fraction: float) -> None:
    """Lists the failed ids with their reasons in `<outdir>/failed`, and says the first of them.

    Raises InputError where less than `min_fraction` of the `given` utterances of `source`, or none, were done.
    """
    listing = step.outdir / "failed"
    with atomic_write(listing) as stream:
        stream.writelines(f"{utterance} {' '.join(reason.split())}\n" for utterance, reason in failed.items())
    for utterance, reason in list(failed.items())[:SHOWN_FAILURES]:
        step.say(f"{utterance} is left out: {reason}")
    if len(failed) > SHOWN_FAILURES:
        step.say(f"... and {len(failed) - SHOWN_FAILURES} others; {listing} lists all")
    done = given - len(failed)
    if done < max(1, min_fraction * given):
        first = next(iter(failed))
        raise InputError(
            f"{source}: {done} of {given} utterances done, less than the {min_fraction:.1%} that --min-fraction asks "
            f"for; {first}: {failed[first]} ({listing} says why)"
        )
