"""The subcommands of ``quant``: options are parsed here, then one host function is called."""
