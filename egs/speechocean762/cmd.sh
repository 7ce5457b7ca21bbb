# Where jobs run. On one machine: utils/run.py. On a cluster change this one line to its launcher, for example
#   export train_cmd="utils/slurm.py --mem 4G"
# and say --nj 32 to run.sh; nothing else changes, least of all the numbers.
export train_cmd="utils/run.py"
