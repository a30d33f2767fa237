"""The image of examples/deploy builds, and runs as the manifests run it.

It takes a Docker engine that answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec
import pytest

from actors import Redis
from actors.testing.servers.ports import PortReservation
from tests.conftest import available_backends
from tests.examples.deploy.files import commands, pods
from tests.examples.deploy.images import build, build_base, download_packages
from tests.servers import BACKENDS, container
from tests.support import eventually
from tests.worker.web import get

pytestmark = [pytest.mark.timeout(300), pytest.mark.embedded_only]


@pytest.fixture(scope="module")
def engine(request):
    """The Docker SDK's client."""
    if "container" not in available_backends(request.config):
        pytest.skip(BACKENDS["container"].why_not() or "--servers asks for no containers")
    client = container.connect()
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine, tmp_path_factory):
    """The tag of the image."""
    packages = tmp_path_factory.mktemp("packages")
    download_packages(packages)
    return build(engine, build_base(engine, packages))


@contextmanager
def running(engine, image, name, server, port) -> Iterator:
    """Run the image as a pod of the manifest ``name``: its arguments, variables and rights."""
    pod = pods()[name]["spec"]["template"]["spec"]
    (spec,) = pod["containers"]
    values = {"SHOP_URL": server.url}
    variables = {one["name"]: one.get("value") or values.get(one["name"]) for one in spec["env"]}
    ran = engine.containers.run(
        image,
        [f"--http=127.0.0.1:{port}" if "--http" in arg else arg for arg in commands()[name]],
        environment={key: value for key, value in variables.items() if value is not None},
        user=f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}",
        read_only=spec["securityContext"]["readOnlyRootFilesystem"],
        cap_drop=spec["securityContext"]["capabilities"]["drop"],
        security_opt=["no-new-privileges"],
        # The server is on a loopback address of this machine.
        network_mode="host",
        labels={container.LABEL: str(os.getpid())},
        detach=True,
    )
    try:
        yield ran
    except BaseException:
        print(ran.logs(tail=50).decode())
        raise
    finally:
        ran.remove(force=True)


@pytest.mark.parametrize("name", pods())
async def test_a_pod_is_ready_handles_messages_and_drains(engine, image, name, server):
    with closing(PortReservation("127.0.0.1")) as reservation:
        port = reservation.port
        with running(engine, image, name, server, port) as pod:
            assert image_user(engine, image) == "65532:65532"
            await eventually(lambda: ready(pod, port), timeout=60, every=0.1)
            async with Redis.from_url(server.url) as client:
                heard = [
                    branch
                    for branch in range(16)
                    if await client.publish(
                        f"orders.{branch}", msgspec.json.encode({"id": branch, "item": "tea"})
                    )
                ]
            assert heard
            await eventually(lambda: len(orders(pod)) == len(heard), timeout=20)
            pod.stop(timeout=30)
            assert pod.wait()["StatusCode"] == 0
            assert orders(pod) == [f"order {branch}: tea" for branch in heard]


def image_user(engine, image):
    return engine.images.get(image).attrs["Config"]["User"]


async def ready(pod, port):
    pod.reload()
    assert pod.status in {"created", "running"}
    try:
        return (await get(("127.0.0.1", port), "/ready")).status == 200
    except OSError:
        return False


def orders(pod):
    lines = pod.logs(stdout=True, stderr=False).decode().splitlines()
    return sorted(lines, key=lambda line: int(line.split()[1].rstrip(":")))
