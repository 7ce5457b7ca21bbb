# The stages 8 to 10 of egs/sre16/v2/run.sh: adaptation, and models of several recordings. The tool lines are Kaldi's.

$train_cmd exp/xvectors_sre16_major/log/plda_adapt.log \
  ivector-adapt-plda --within-covar-scale=0.75 --between-covar-scale=0.25 \
  exp/xvectors_sre_combined/plda \
  "ark:ivector-subtract-global-mean exp/xvectors_sre16_major/mean.vec scp:exp/xvectors_sre16_major/xvector.scp ark:- | transform-vec exp/xvectors_sre_combined/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  exp/xvectors_sre16_major/plda_adapt || exit 1;

ivector-mean ark:data/sre16_eval_enroll/spk2utt scp:exp/xvectors_sre16_eval_enroll/xvector.scp \
  ark,scp:exp/xvectors_sre16_eval_enroll/spk_xvector.ark,exp/xvectors_sre16_eval_enroll/spk_xvector.scp \
  ark,t:exp/xvectors_sre16_eval_enroll/num_utts.ark || exit 1;

$train_cmd exp/scores/log/sre16_eval_scoring.log \
  ivector-plda-scoring --normalize-length=true \
  --num-utts=ark:exp/xvectors_sre16_eval_enroll/num_utts.ark \
  "ivector-copy-plda --smoothing=0.0 exp/xvectors_sre_combined/plda - |" \
  "ark:ivector-mean ark:data/sre16_eval_enroll/spk2utt scp:exp/xvectors_sre16_eval_enroll/xvector.scp ark:- | ivector-subtract-global-mean exp/xvectors_sre16_major/mean.vec ark:- ark:- | transform-vec exp/xvectors_sre_combined/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "ark:ivector-subtract-global-mean exp/xvectors_sre16_major/mean.vec scp:exp/xvectors_sre16_eval_test/xvector.scp ark:- | transform-vec exp/xvectors_sre_combined/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "cat '$sre16_trials' | cut -d\  --fields=1,2 |" exp/scores/sre16_eval_scores || exit 1;

$train_cmd exp/scores/log/sre16_eval_scoring_adapt.log \
  ivector-plda-scoring --normalize-length=true \
  "ivector-copy-plda --smoothing=0.0 exp/xvectors_sre16_major/plda_adapt - |" \
  "ark:ivector-subtract-global-mean exp/xvectors_sre16_major/mean.vec scp:exp/xvectors_sre16_eval_test/xvector.scp ark:- | transform-vec exp/xvectors_sre_combined/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "ark:ivector-subtract-global-mean exp/xvectors_sre16_major/mean.vec scp:exp/xvectors_sre16_eval_test/xvector.scp ark:- | transform-vec exp/xvectors_sre_combined/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "cat '$utterance_trials' | cut -d\  --fields=1,2 |" exp/scores/sre16_eval_scores_adapt || exit 1;

pooled_eer=$(paste $sre16_trials exp/scores/sre16_eval_scores | awk '{print $6, $3}' | compute-eer - 2>/dev/null)
adapted_eer=$(paste $utterance_trials exp/scores/sre16_eval_scores_adapt | awk '{print $6, $3}' | compute-eer - 2>/dev/null)
echo "Using Out-of-Domain PLDA, EER: Pooled ${pooled_eer}%"
echo "Using Adapted PLDA, EER: Pooled ${adapted_eer}%"
