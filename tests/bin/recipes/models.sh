# Models of several recordings as the golden scores were made: means of vectors that were processed before.

ivector-plda-scoring --normalize-length=true --num-utts=ark:enroll_num_utts \
  "ivector-copy-plda --smoothing=0.0 plda - |" \
  "ark:ivector-mean ark:enroll_spk2utt ark:processed_test.ark ark:- |" ark:processed_test.ark \
  "cat 'enroll_trials' | cut -d\  --fields=1,2 |" scores || exit 1;
awk '{print $3}' scores | paste -d' ' - <(awk '{print $3}' enroll_trials) | compute-eer -
