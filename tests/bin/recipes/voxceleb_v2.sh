# The stages 10 to 12 of egs/voxceleb/v2/run.sh: the tool lines are Kaldi's (40 dimensions, where it keeps 200).

$train_cmd $nnet_dir/xvectors_train/log/compute_mean.log \
  ivector-mean scp:$nnet_dir/xvectors_train/xvector.scp \
  $nnet_dir/xvectors_train/mean.vec || exit 1;

lda_dim=40
$train_cmd $nnet_dir/xvectors_train/log/lda.log \
  ivector-compute-lda --total-covariance-factor=0.0 --dim=$lda_dim \
  "ark:ivector-subtract-global-mean scp:$nnet_dir/xvectors_train/xvector.scp ark:- |" \
  ark:data/train/utt2spk $nnet_dir/xvectors_train/transform.mat || exit 1;

$train_cmd $nnet_dir/xvectors_train/log/plda.log \
  ivector-compute-plda ark:data/train/spk2utt \
  "ark:ivector-subtract-global-mean scp:$nnet_dir/xvectors_train/xvector.scp ark:- | transform-vec $nnet_dir/xvectors_train/transform.mat ark:- ark:- | ivector-normalize-length ark:-  ark:- |" \
  $nnet_dir/xvectors_train/plda || exit 1;

$train_cmd exp/scores/log/voxceleb1_test_scoring.log \
  ivector-plda-scoring --normalize-length=true \
  "ivector-copy-plda --smoothing=0.0 $nnet_dir/xvectors_train/plda - |" \
  "ark:ivector-subtract-global-mean $nnet_dir/xvectors_train/mean.vec scp:$nnet_dir/xvectors_voxceleb1_test/xvector.scp ark:- | transform-vec $nnet_dir/xvectors_train/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "ark:ivector-subtract-global-mean $nnet_dir/xvectors_train/mean.vec scp:$nnet_dir/xvectors_voxceleb1_test/xvector.scp ark:- | transform-vec $nnet_dir/xvectors_train/transform.mat ark:- ark:- | ivector-normalize-length ark:- ark:- |" \
  "cat '$voxceleb1_trials' | cut -d\  --fields=1,2 |" exp/scores_voxceleb1_test || exit 1;

eer=`compute-eer <(paste -d' ' exp/scores_voxceleb1_test $voxceleb1_trials | awk '{print $3, $6}') 2> /dev/null`
mindcf1=`compute-min-dcf --p-target 0.01 exp/scores_voxceleb1_test $voxceleb1_trials 2> /dev/null`
mindcf2=`compute-min-dcf --p-target 0.001 exp/scores_voxceleb1_test $voxceleb1_trials 2> /dev/null`
echo "EER: $eer%"
echo "minDCF(p-target=0.01): $mindcf1"
echo "minDCF(p-target=0.001): $mindcf2"
