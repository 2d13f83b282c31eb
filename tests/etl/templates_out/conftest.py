"""A synthetic cohort as a site would type it into the templates."""

from __future__ import annotations

from random import Random

import pytest

from masterkey_etl.synth.cohort import Patient, draw
from masterkey_etl.synth.tables import tables
from masterkey_etl.templates_out import filled
from masterkey_etl.templates_out.form import Form, form

PATIENTS = 10


@pytest.fixture(scope="session")
def the_form() -> Form:
    return form()


@pytest.fixture(scope="session")
def patients() -> list[Patient]:
    rng, found = Random(7), tables()
    return [draw(rng, found) for _ in range(PATIENTS)]


@pytest.fixture(scope="session")
def rows(patients: list[Patient]) -> filled.Rows:
    return filled.together(filled.facts(p, f"H{n:04d}") for n, p in enumerate(patients, 1))
