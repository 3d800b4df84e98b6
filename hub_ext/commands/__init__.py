"""The subcommands of `almanac`, one module for each family."""
