-- Run once, on an empty volume. The ledger has the database dnnsweep; MLflow migrates tables of its own in these.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
