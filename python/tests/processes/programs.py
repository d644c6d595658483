"""Other programs, ways to start Python, and daemons."""

from processes.pattern import Pattern

_CHILD = "import pitviper; pitviper.tracer.start_span('span').end()"

PATTERNS = (
    Pattern("python -c", f"program('-c', {_CHILD!r})"),
    Pattern("python -m", "program('-m', 'child')"),
    Pattern("python and a file", "program(os.path.join(os.path.dirname(probe.__file__), 'child.py'))"),
    Pattern("python and standard input", f"program('-', input={_CHILD!r}.encode())"),
    Pattern(
        "a zip archive",
        "program('application.zip')",
        setup=f"import zipfile\n"
        f"with zipfile.ZipFile('application.zip', 'w') as archive: archive.writestr('__main__.py', {_CHILD!r})",
    ),
    Pattern("python -O", f"program('-O', '-c', {_CHILD!r})"),
    # These three leave out what `pitviper run` starts the agent by; an import still does.
    Pattern("python -I", f"program('-I', '-c', 'import pitviper.auto;' + {_CHILD!r}); program('-I', '-c', 'pass')"),
    Pattern("python -E", f"program('-E', '-c', 'import pitviper.auto;' + {_CHILD!r}); program('-E', '-c', 'pass')"),
    Pattern("python -S", "span(); program('-S', '-c', 'pass')"),
    Pattern("python -X dev -W error", f"program('-X', 'dev', '-W', 'error', '-c', {_CHILD!r})"),
    Pattern(
        "python -X importtime",
        "span(); subprocess.run([sys.executable, '-X', 'importtime', '-c', 'pass'], check=True, stderr=subprocess.DEVNULL)",
    ),
    Pattern("subprocess with a function before exec", f"program('-c', {_CHILD!r}, preexec_fn=lambda: None)"),
    Pattern(
        "subprocess with spans before exec, which are lost",
        f"program('-c', {_CHILD!r}, preexec_fn=span)",
    ),
    Pattern("subprocess with all files open", f"span(); program('-c', {_CHILD!r}, close_fds=False)", 2),
    Pattern("subprocess in a session of its own", f"span(); program('-c', {_CHILD!r}, start_new_session=True)", 2),
    Pattern(
        "subprocess that is stopped",
        "child = subprocess.Popen([sys.executable, '-c', STOPPED], stdout=subprocess.PIPE)\n"
        "child.stdout.read(1); child.terminate(); child.wait(); child.stdout.close()",
        setup="STOPPED = 'import pitviper, signal, sys, time\\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\\n"
        'pitviper.tracer.start_span("x").end()\\n'
        "print(1, flush=True)\\nwhile True: time.sleep(0.01)'",
    ),
    Pattern("posix_spawn", f"wait(os.posix_spawn(sys.executable, [sys.executable, '-c', {_CHILD!r}], os.environ))"),
    Pattern("spawnv", "assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-m', 'child']) == 0"),
    Pattern("system", "assert os.system(f'{sys.executable} -m child') == 0"),
    Pattern("popen", "assert os.popen(f'{sys.executable} -m child').close() is None"),
    Pattern(
        "fork and exec",
        "forked(lambda: (span(), os.execv(sys.executable, [sys.executable, '-m', 'child'])))",
        2,
    ),
    Pattern(
        "fork and exec by path with variables",
        "forked(lambda: (span(), os.execvpe(sys.executable, [sys.executable, '-m', 'child'], dict(os.environ))))",
        2,
    ),
    Pattern(
        "exec in a thread",
        "def run():\n    span(); os.execl(sys.executable, sys.executable, '-m', 'child')\n"
        "forked(lambda: join([threading.Thread(target=run)]))",
        2,
    ),
    Pattern(
        "exec of itself",
        spans=0,
        last="""
if 'again' not in sys.argv:
    span()
    os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])
span()
""",
        last_spans=2,
        repeat=False,
    ),
    Pattern(
        "an exec that fails",
        "span()\ntry:\n    os.execv('/nowhere', ['nowhere'])\nexcept FileNotFoundError:\n    span()",
        2,
    ),
    Pattern(
        "daemon by double fork",
        """
pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir('/')
    os.closerange(0, 3)
    for _ in range(3): os.open(os.devnull, os.O_RDWR)
    span()
    sys.exit(0)
wait(pid)
""",
    ),
    Pattern(
        "daemon with descriptors 0 to 2 closed",
        """
pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 3)
    span()
    pitviper.flush(60)
    span()
    os._exit(0)
wait(pid)
""",
        2,
    ),
    Pattern(
        "daemon that closes all descriptors while the exporter has some",
        """
pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    span(); pitviper.flush(60)
    os.closerange(0, 1024)
    for _ in range(3): os.open(os.devnull, os.O_RDWR)
    span()
    os._exit(0)
wait(pid)
""",
        2,
    ),
)
