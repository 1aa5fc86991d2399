"""Names of the files and folders that runs and trainings leave behind."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("runs")
"""Where runs and trainings go unless told otherwise."""

RECORD_FILE = "run.json"
PLAN_FILE = "plan.json"
JOURNAL_FILE = "journal.jsonl"
REPLIES_FILE = "replies.jsonl"
ARCHIVED_JOURNAL_FILE = "journal.jsonl.xz"
PUZZLES_FILE = "puzzles.csv"
CANDIDATES_FILE = "candidates.csv"
RUN_FILES = (RECORD_FILE, PLAN_FILE, JOURNAL_FILE, ARCHIVED_JOURNAL_FILE, PUZZLES_FILE, CANDIDATES_FILE)
ARCHIVED_REPLIES_FILE = "replies.jsonl.xz"
RUN_FILES += (REPLIES_FILE, ARCHIVED_REPLIES_FILE)
"""All that a run's folder may hold."""

TRAINING_FILE = "train.json"
METRICS_FILE = "metrics.jsonl"
CURVE_FILE = "curve.csv"
WEIGHTS_FILE = "weights.safetensors"
