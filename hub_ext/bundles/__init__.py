"""What goes into production: one immutable, content-addressed bundle.

A library without hub or server, used alike by the panel, by the command line,
by the job service (which repeats what matters, for what comes from a user's
server is a claim) and by the runner.

    snapshot = snapshot.take(path, owner="ana", kernels=KernelFinder())
    checks.refuse(checks.check(snapshot))
    lock = environment.lock(environment.listing(snapshot.python), uv, os.environ)
    made = bundle.write(snapshot, lock, folder)
"""
