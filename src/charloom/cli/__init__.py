"""The command line: one file a command. Progress, tables and colours live here and nowhere else."""
