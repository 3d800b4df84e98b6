"""Who may come in and what they may do: passwords, the hub's authenticator,
the role table, and the hub's sign-in for our own services.

The modules are imported one by one and on purpose not gathered here: the
command line needs the users file without JupyterHub, the job service needs the
sign-in without the authenticator.
"""
