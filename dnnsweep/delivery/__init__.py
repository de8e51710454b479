"""Bringing the ledger to MLflow: what waits in the outbox is sent, and the doctor compares what has arrived.

`shipper.OutboxSender` sends what is due, once. `shipper.Shipper` does so in a thread, again and again, until it is
closed. `process.ShipperProcess` runs a shipper in a process of its own. `pages` says what a run shows.
"""
