"""A toy: softmax regression on the mean and spread of each band of a chip."""
