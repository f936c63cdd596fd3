"""Makes the virtual environment that `session.py` runs in, at the path given, unless it is there already.

It is whole or it does not count: a mark is written last, with what was asked for, so that what a killed run left behind is
made again, and so is one that holds other versions. With the mark there, no network is needed. Where it cannot be made, one
line on standard error says why.
"""

import pathlib
import shutil
import subprocess
import sys
import venv

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")
PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "30"]


def install(place):
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python makes no virtual environment with pip (apt-get install python3-venv)")
    pip = [place / "bin" / "python", *PIP, "install", "--only-binary=:all:", "--requirement", REQUIREMENTS]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit((done.stderr.strip() or "pip failed without a word").splitlines()[-1])


def main():
    place = pathlib.Path(sys.argv[1])
    mark = place / "installed"
    wanted = REQUIREMENTS.read_text()
    if not (mark.is_file() and mark.read_text() == wanted):
        install(place)
        mark.write_text(wanted)


main()
