"""Stores that tests open, and that are closed behind them."""

import pytest


@pytest.fixture
def opened(postgres_url):
    """Opens stores on one database, and closes them."""
    from coherence.stores.postgres import PostgresStore

    stores = []

    def open_one(retention=None, *, url=postgres_url, **options):
        stores.append(PostgresStore(url, retention, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
