# Where jobs run. utils/run.py runs them on this machine. On a cluster name a launcher that takes the same command line
# (utils/run.py --help), with its options, and give run.sh a larger --nj. The numbers stay the same.
export train_cmd="utils/run.py"
