"""What feeds training and extraction: features by the chunk, the order of an epoch, batches."""
