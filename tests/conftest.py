"""What every test may ask for. A test that can't run here says so by name; in CI that is a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples each time, so that a change alone decides; elsewhere new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("MASTERKEY_FAIL_ON_SKIP"):
    settings.load_profile("ci")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the clone: `MASTERKEY_SHARED`, or `../shared`."""
    place = Path(os.environ.get("MASTERKEY_SHARED", REPOSITORY.parent / "shared"))
    if not (place / "data").is_dir():
        pytest.skip("the reference data is not here: set MASTERKEY_SHARED to its folder")
    return place


@pytest.fixture(scope="session")
def repository_root() -> Path:
    return REPOSITORY


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and os.environ.get("MASTERKEY_FAIL_ON_SKIP"):
        print(f"\n{len(_skipped)} skipped, none may be here: {', '.join(_skipped[:20])}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
