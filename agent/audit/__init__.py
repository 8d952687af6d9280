"""Batch audits: many questions about many models from one spec, resumable, with one table that can stop a release."""
