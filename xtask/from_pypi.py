"""Makes a virtual environment with what a file of requirements asks for, at the path given, unless it is there already.

    python3 from_pypi.py <requirements> <place>

It is whole or it does not count: a mark is written last, with what was asked for, so that what a killed run left behind is
made again, and so is one that holds other versions. With the mark there, no network is needed. Of several that make it at once
one does, and the others wait. Where it cannot be made, one line on standard error says why.
"""

import fcntl
import pathlib
import shutil
import subprocess
import sys
import venv

PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "30"]


def install(requirements, place):
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python makes no virtual environment with pip (apt-get install python3-venv)")
    pip = [place / "bin" / "python", *PIP, "install", "--only-binary=:all:", "--requirement", requirements]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit((done.stderr.strip() or "pip failed without a word").splitlines()[-1])


def main():
    requirements, place = map(pathlib.Path, sys.argv[1:3])
    mark = place / "installed"
    wanted = requirements.read_text()
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(place.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (mark.is_file() and mark.read_text() == wanted):
            install(requirements, place)
            mark.write_text(wanted)


main()
