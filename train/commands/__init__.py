"""The subcommands of `radiodino-train`, one per file; none imports torch before it runs."""
