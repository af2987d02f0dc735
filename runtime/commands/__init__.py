"""The subcommands of ``radiodino-run``, one file each; none imports numpy or an engine before it runs."""
