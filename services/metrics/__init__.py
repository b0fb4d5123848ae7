"""Metrics: folds the usage log into the ledger, the access log and Prometheus, and answers for what was used."""
