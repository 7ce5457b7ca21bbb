# Where jobs run: one launcher and its options, the same command line for all three. Change this and nothing else.
#
#   this machine   utils/run.py
#   Slurm          utils/slurm.py --mem 4G --time 4:00:00      (conf/slurm.conf: partition, account, GPUs of your site)
#   Grid Engine    utils/queue.py --mem 4G                     (conf/queue.conf: queue, resources of your site)
#
# On a cluster run this where sbatch or qsub works, in a directory that all nodes see, and give run.sh a larger --nj
# (bash run.sh --nj 40). The numbers stay the same. Also: --max-jobs-run 20, --retries 2. See docs/clusters.md.
export train_cmd="utils/run.py"

# Where networks are trained. Empty: right here, with the progress on the terminal. On a cluster, for example,
#   utils/slurm.py --gpu 1 --num-threads 8 --mem 32G --time 24:00:00
export gpu_cmd=""
