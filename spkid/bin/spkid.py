"""spkid: embeds, compares and identifies recordings with a trained or imported network."""

from __future__ import annotations

import sys

from spkid import __version__

USAGE = """Embeds, compares and identifies recordings with a trained or imported network.
Usage: spkid <command> [options] <recordings>

Commands:
    embed     embeddings of recordings, as a table of Kaldi's
    verify    are two recordings of one speaker? Score, threshold, decision
    enroll    means of each speaker's recordings, to identify others with
    identify  which of the enrolled speakers is it? A ranked table

e.g.: spkid verify --model exp/xvector --backend exp/xvector/backend --results exp/xvector/results/plda a.wav b.wav
'spkid <command> --help' says more."""


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    if words[:1] == ["--version"]:
        print(f"spkid {__version__}")
        return 0
    from spkid.bin._spkid_commands import COMMANDS, run  # plumbum: not for the usage

    if not words:
        print(f"spkid: error: a command is needed: {', '.join(COMMANDS)} (--help says more)", file=sys.stderr)
        return 1
    return run(words[0], words[1:])


if __name__ == "__main__":
    sys.exit(main())
