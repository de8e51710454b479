"""Running sweeps: on this machine, or as a worker of a service."""
