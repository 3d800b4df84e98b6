"""The parts that measure, and the whole at a small size."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tests.benchmarks.storage import data, loopmeter, sizes
from tests.benchmarks.storage.delayproxy import DelayProxy
from tests.benchmarks.storage.memory import peak_above_idle

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("size", [20_000, 100_000, 3_000_000])
def test_notebooks_are_valid_and_as_large_as_they_say(size: int) -> None:
    made = json.loads(data.notebook_bytes(size))
    nbformat.validate(made)
    written = len(json.dumps(made))
    assert size <= written < size * 1.2
    assert made != data.notebook(size, seed=1)


def test_noise_has_its_size_and_does_not_repeat() -> None:
    pieces = list(data.noise(250, piece=100))
    assert [len(piece) for piece in pieces] == [100, 100, 50]
    assert pieces[0] != pieces[1]


def test_a_folder_for_an_object_store_has_the_marker_that_s3contents_makes(tmp_path: Path) -> None:
    place = data.DiskPlace(tmp_path / "disk")
    assert len(list(data.flat(place, "a", 3))) == 3
    place.markers = True
    assert [path for path, _ in data.flat(place, "a", 1)] == ["a/table-00000.csv", "a/.s3keep"]
    paths = [path for path, _ in data.folders(place, "b", 2)]
    assert paths.count("b/month-0001/.s3keep") == 1
    assert len(paths) == 5


async def test_the_loop_meter_sees_a_loop_that_is_held_up() -> None:
    meter = loopmeter.LoopMeter()
    await asyncio.sleep(0.02)
    time.sleep(0.2)
    figures = meter.stop()
    assert figures["max"] >= 150  # ms
    assert figures["p50"] > 20


async def test_the_proxy_delays_each_request_once_and_changes_nothing() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    target = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = DelayProxy(*target.sockets[0].getsockname(), 0.1)
    served = await proxy.serve()
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(*served.sockets[0].getsockname())
        began = time.monotonic()
        for _ in range(3):
            writer.write(b"in ")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"two pieces\n")
            assert await reader.readline() == b"IN TWO PIECES\n"
        assert time.monotonic() - began >= 0.3
        assert proxy.requests == 3
        writer.close()
        assert await reader.read() == b""
    for server in (served, target):
        server.close()


def test_memory_is_measured_at_its_peak_though_it_was_given_back() -> None:
    hog = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    held = bytearray(80_000_000)\n"
        "    held[::4096] = b'x' * len(held[::4096])\n"
        "    del held\n"
        "    print('done', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hog], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with peak_above_idle(process.pid) as peak:
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            assert 70 < peak() < 120
        process.stdin.close()
        process.wait(10)


def test_the_names_of_the_work_are_its_own() -> None:
    names = [item.name for item in (*sizes.work(sizes.QUICK), *sizes.memory_work(sizes.QUICK))]
    assert len(set(names)) == len(names)


@pytest.mark.timeout(240)
def test_all_of_it_at_a_small_size(tmp_path: Path) -> None:
    """Ours beside the disk: this environment has no s3contents, which `make bench-storage` has."""
    output = tmp_path / "figures.jsonl"
    command = ["-m", "tests.benchmarks.storage", "--quick", "--rounds=1", "--sides=ours,disk"]
    done = subprocess.run(
        [sys.executable, *command, f"--output={output}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=230,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert "fails" not in done.stdout
    assert all(row["ours"] is not None for row in found), done.stdout
    measures = {row["measure"] for row in found}
    titles = [item.title for item in (*sizes.work(sizes.QUICK), *sizes.memory_work(sizes.QUICK))]
    assert set(titles) <= measures
    assert any(measure.endswith("+20 ms a request") for measure in measures)
    assert {row["peer_name"] for row in found} == {"disk", None}
