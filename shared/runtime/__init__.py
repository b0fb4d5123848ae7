"""The service skeleton: settings, logging, clock, master key, HTTP, life and death of a process."""
