"""What RV's Keras and TensorFlow backends share."""
