"""The seam between the loop over a trial's epochs and what trains them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Engine(Protocol):
    """Trains the network of one trial, an epoch at a time.

    All engines train the same network on the same batches. They differ in who carries out the steps, and so in speed.

    Attributes:
        network: The Keras model as it was built. It is also what is saved in the end, with the weights that are kept.
        is_compiled: Whether XLA compiles the training.
    """

    network: Any
    is_compiled: bool

    def fit(
        self, orders: Iterator[NDArray[np.int32]], n_epochs: int, after_epoch: Callable[[Mapping[str, float]], bool]
    ) -> None:
        """Train and validate, epoch by epoch.

        Args:
            orders: Order of the training rows (rows,) in each epoch; endless.
            n_epochs: Number of epochs after which training ends in any case.
            after_epoch: Called with the `loss`, `accuracy` or `mae` of each epoch, and the same with `val_`. Returns
                whether to stop. The losses are without the penalty.

        Raises:
            EngineRefusedError: This engine cannot train the network, and has not trained anything.
        """

    def penalty(self) -> float:
        """Return what the regularizers add to the loss, with the weights as they are now."""

    def predict(self) -> NDArray[Any]:
        """Return the predictions (rows, outputs) for the validation rows, with the weights as they are now."""

    def weights(self) -> list[NDArray[Any]]:
        """Return a copy of all weights as they are now, in the order of `network.get_weights()`."""

    @property
    def trained(self) -> Any:
        """Return the Keras model whose weights are those of the training as they are now."""

    def training_rows(self, index: NDArray[np.int32]) -> tuple[Any, ...]:
        """Return some training rows by their numbers, as the network takes them: features, targets, and any weights."""

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the epochs to come."""


class EngineRefusedError(Exception):
    """An engine cannot train a network, and has not trained anything.

    Args:
        substitute: Engine that trains the same network instead.
    """

    def __init__(self, substitute: Engine) -> None:
        super().__init__("the engine cannot train this network")
        self.substitute = substitute
