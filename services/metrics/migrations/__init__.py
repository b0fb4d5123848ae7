"""Migrations of the tables that the metrics service owns; run as a child process."""
