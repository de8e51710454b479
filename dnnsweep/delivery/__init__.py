"""Delivery: what the ledger holds, brought to MLflow and compared with it."""
