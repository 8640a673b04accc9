"""A toy: objects are blobs of the colour that is usual inside the boxes of the training chips."""
