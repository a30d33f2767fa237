"""examples/deploy/systemd: units that systemd accepts, and that are true to the product."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.deploy.files import Unit, application, commands
from tests.examples.deploy.options import parsed

UNITS = Unit.all()
by_name = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.path.name)


@by_name
def test_systemd_accepts_the_unit(unit, tmp_path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze on PATH")
    # The program has to exist, and a template needs an instance.
    program = Path(sys.executable).with_name("mailslot")
    path = tmp_path / unit.path.name.replace("@", "@0")
    path.write_text(unit.path.read_text().replace("/opt/shop/bin/mailslot", str(program)))
    done = subprocess.run([verify, "verify", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@by_name
def test_a_worker_has_the_time_that_its_drain_may_take(unit):
    app, values = application(), parsed(commands()[unit.path.name])
    drain = values["drain_timeout"] or app.drain_timeout
    # A parent kills its processes 3 s after the deadline, and exits by force 2 s later.
    assert drain + app.shutdown_timeout + 3 + 3 <= float(unit["TimeoutStopSec"])


@by_name
def test_systemd_is_told_what_the_product_does(unit):
    # There is no sd_notify in the product: the type is not notify.
    assert unit["Type"] == "exec"
    # A second SIGTERM cuts a drain short: processes get theirs from the parent alone.
    assert parsed(commands()[unit.path.name])["processes"] > 1
    assert unit["KillMode"] == "mixed"
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"] == "2"
