"""A toy: softmax regression on the color and the texture around each pixel."""
