"""Types keys into an interactive shell on a terminal of its own and prints the line that it then has, which a key bound in setup writes to FILE.

usage: type_in_shell.py FILE SETUP KEYS SHELL [ARGUMENT…]
"""

import os
import pty
import select
import sys
import time

file, setup, keys, *command = sys.argv[1:]
WITHIN_SECONDS = 60
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)

shown = b""
ends = time.monotonic() + WITHIN_SECONDS


def read_until(done):
    global shown
    while not done():
        if time.monotonic() > ends:
            sys.exit(f"the shell did not answer; it has shown {shown[-2000:]!r}")
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break


os.write(terminal, f"{setup}\n".encode())
read_until(lambda: b"shell is ready" in shown)
shown = b""
os.write(terminal, keys.encode().decode("unicode_escape").encode())
read_until(lambda: os.path.exists(file) and os.path.getsize(file) > 0)
with open(file) as line:
    print(line.read().rstrip("\n"))
print(shown.decode(errors="replace"), file=sys.stderr)
os.kill(child, 9)
