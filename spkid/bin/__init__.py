"""The command-line tools that carry Kaldi's names; each module is one tool."""
