"""The image, really built: small, without secrets, not root, quick to start; a service of it lives and ends well."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.topics import TOPICS
from tests.deploy.built_image import Buildah, base_folder, copy_of_the_checkout, first_process
from tests.deploy.compose_file import SERVICES, health_command
from tests.deploy.engine_tools import cannot_be_had
from tests.servers import KafkaServer

USER = 10_001
READY_WITHIN_S = 90.0
LARGEST_MB = 1_000
"""Of what we put on the base; nearly all of it are the wheels of uv.lock."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first of them downloads and builds for minutes


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    folder = tmp_path_factory.mktemp("image")
    try:
        base_folder()
        buildah = Buildah(folder)
    except UnavailableError as error:
        cannot_be_had("the image", error)
    buildah.build(copy_of_the_checkout(tmp_path_factory.mktemp("checkout")))
    yield buildah
    buildah("rmi", "--all", "--force")


def test_the_image_runs_as_a_user_that_is_not_root(image: Buildah) -> None:
    configuration = image.configuration()
    assert configuration["User"] == f"{USER}:{USER}"
    assert configuration["Entrypoint"] == ["quant"]
    assert configuration["StopSignal"] == "SIGTERM"
    with image.container() as container:
        assert container.run("sh", "-c", "id -u; touch /opt/quant/x /etc/x 2>/dev/null || echo refused").stdout == (
            f"{USER}\nrefused\n"
        )


def test_the_image_holds_the_program_and_nothing_that_only_built_it(image: Buildah) -> None:
    with image.container() as container:
        files = [path for path in (container.files / "opt/quant").rglob("*") if path.is_file()]
        assert not [path for path in container.files.rglob(".env*") if path.is_file()]
        assert sum(path.lstat().st_size for path in files) < LARGEST_MB * 10**6
        assert not (container.files / "uv").exists()
        assert not (container.files / "src").exists()
        assert container.run("quant", "--version").stdout.startswith("quant-platform ")


def test_no_start_compiles_what_the_image_has_compiled(image: Buildah) -> None:
    def compiled(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*.nbc")}

    with image.container() as container:
        done = container.run("python", "-m", "quant_platform.hosts.warm")
        assert done.returncode == 0, done.stdout
        brought = compiled(container.files / "opt/quant/kernels")
        assert len(brought) > 50
        assert compiled(container.files / "home/quant/.cache/quant-platform/kernels") == brought


def test_a_service_of_the_image_starts_says_that_it_is_ready_and_stops_on_sigterm(
    image: Buildah, kafka: KafkaServer, bus: KafkaBus, closed_port: int
) -> None:
    bus.ensure(TOPICS)
    command = [*image.configuration()["Entrypoint"], *SERVICES["feature_engine"]["command"]]
    check = [word.replace("8100", str(closed_port)) for word in health_command("feature_engine")]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "QUANT_SERVICE__PORT": str(closed_port)}
    with image.container() as container:
        started = container.start(command, **environment)
        try:
            _wait_until_ready(closed_port)
            assert container.run(*check).returncode == 0
            first_process(started, USER).send_signal(signal.SIGTERM)
            said, _ = started.communicate(timeout=60)
            assert started.returncode == 0, said
        finally:
            started.kill()
            started.wait()
        assert container.run(*check).returncode != 0


def test_a_service_that_is_set_up_wrongly_ends_with_two_and_says_what_is_wrong(image: Buildah) -> None:
    with image.container() as container:
        done = container.run("quant", "service", "feature_engine", QUANT_KAFKA__PARTITIONS="many")
        assert done.returncode == 2
        assert "kafka.partitions" in done.stdout


def _wait_until_ready(port: int) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    answer = "nothing"
    while time.monotonic() < give_up:
        try:
            reply = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False)
        except httpx.TransportError as error:
            answer = str(error)
        else:
            if reply.status_code == 200:
                return
            answer = reply.text
        time.sleep(0.2)
    pytest.fail(f"not ready within {READY_WITHIN_S:g} s: {answer}")
