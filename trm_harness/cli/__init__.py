"""The command line: a lazy main group and one file per verb, each importing its room inside its functions."""
