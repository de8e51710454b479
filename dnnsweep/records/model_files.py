"""What a `.keras` file, which is a zip archive, holds beside the network; Keras reads none of it."""

from __future__ import annotations

from typing import Final

#: What was fitted to the training rows.
PREPROCESSING: Final = "assets/preprocessing.json"
#: What the model takes and answers; see `datasets.model_interface`.
INTERFACE: Final = "assets/interface.json"
