"""kill -9 of a serving process: what was acknowledged is there, what was not is there whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from masterkey_fhir.store import Repository

SITE = "jp_ncch"
SERVER = """
import sys, uvicorn
from masterkey_api.app import create_app
from masterkey_fhir.store import Repository
app = create_app(Repository.open(sys.argv[1]), open=True, site="jp_ncch")
server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
import threading, time
def tell():
    while not server.started:
        time.sleep(0.005)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
threading.Thread(target=tell).start()
server.run()
"""


def pair(n: int) -> dict[str, object]:
    """A transaction of two resources that belong together."""
    patient = {"resourceType": "Patient", "id": f"p{n}"}
    observation = {
        "resourceType": "Observation",
        "id": f"o{n}",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/p{n}"},
    }
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in (patient, observation)
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    acknowledged: list[int] = []

    def post(base: str) -> None:
        with httpx.Client(timeout=30) as client:
            for n in range(10_000):
                try:
                    r = client.post(base, json=pair(n))
                except httpx.TransportError:
                    return
                assert r.status_code == 200
                acknowledged.append(n)

    with subprocess.Popen([sys.executable, "-c", SERVER, str(path)], stdout=subprocess.PIPE) as server:
        assert server.stdout
        thread = threading.Thread(target=post, args=(f"http://127.0.0.1:{int(server.stdout.readline())}/fhir",))
        thread.start()
        while len(acknowledged) < 20:
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        thread.join()

    after = Repository.open(path)
    patients = {s.id[1:] for s in after.of_type(SITE, "Patient")}
    observations = {s.id[1:] for s in after.of_type(SITE, "Observation")}
    assert patients == observations
    assert {str(n) for n in acknowledged} <= patients and len(patients) <= len(acknowledged) + 1
    assert after.last_change() == 2 * len(patients)
