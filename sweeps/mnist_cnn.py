"""A small convolutional network, built from the hyperparameters that sweeps/mnist_cnn.yaml searches."""

import keras
from keras import layers


def build(filters: int, kernel_size: int, dropout: float, *, batch_norm: bool, initializer: str) -> keras.Model:
    """Return a network of two convolutions for grey images of 28 x 28 pixels."""
    network = [keras.Input((28, 28, 1))]
    for n_filters in (filters, 2 * filters):
        network.append(layers.Conv2D(n_filters, kernel_size, use_bias=not batch_norm, kernel_initializer=initializer))
        network += [layers.BatchNormalization()] if batch_norm else []
        network += [layers.Activation("relu"), layers.MaxPooling2D()]
    network += [layers.Flatten(), layers.Dropout(dropout), layers.Dense(10, activation="softmax")]
    return keras.Sequential(network)
