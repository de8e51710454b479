"""Hyperparameter sweeps for dense networks: Optuna samples, Keras trains, MLflow shows every trial."""
