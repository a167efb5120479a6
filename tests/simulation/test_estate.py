import numpy as np

from simulation.estate import BASEMENT, PIT, succeed
from simulation.vendors import USUAL
from tests.simulation.blocks import draws, world

AROUND = world(1200, vendors=USUAL, seed=4)
ESTATE = AROUND.estate


def test_make_estate_has_so_many_meters_with_ids_of_their_own() -> None:
    """All of them marked synthetic."""
    ids = {ESTATE.meter_id(n) for n in range(ESTATE.size)}

    assert 1200 == ESTATE.size == len(ids)
    assert all(each.startswith("synthetic-") for each in ids)


def test_make_estate_lots_are_of_one_vendor_and_hang_at_several_sites() -> None:
    """Else a bad lot could not be told from a bad place."""
    pairs = {(int(lot), int(vendor)) for lot, vendor in zip(ESTATE.lot, ESTATE.vendor, strict=True)}
    sites = [len(set(ESTATE.site[ESTATE.lot == lot].tolist())) for lot in set(ESTATE.lot.tolist())]

    assert len(set(ESTATE.lot.tolist())) == len(pairs)
    assert np.median(sites) >= 2


def test_make_estate_every_vendor_and_installation_is_there() -> None:
    """Only pits and basements are flood-prone."""
    assert set(range(len(USUAL))) == set(ESTATE.vendor.tolist())
    assert {0, 1, 2, 3} == set(ESTATE.installation.tolist())
    assert set(ESTATE.installation[ESTATE.flood_prone].tolist()) <= {PIT, BASEMENT}


def test_succeed_puts_new_meters_where_old_ones_hung() -> None:
    """From the hour after, with a register near zero, from a lot of spares."""
    grown = succeed(ESTATE, np.array([3, 8]), np.array([500, 700]), AROUND.calendar, draws())

    assert ESTATE.size + 2 == grown.size
    assert [3, 8] == grown.replaces[-2:].tolist()
    assert ESTATE.site[[3, 8]].tolist() == grown.site[-2:].tolist()
    assert [500, 700] == grown.last_hour[[3, 8]].tolist()
    assert [501, 701] == grown.first_hour[-2:].tolist()
    assert grown.start_m3[-2:].max() < 0.5
    assert not set(grown.lot[-2:].tolist()) & set(ESTATE.lot.tolist())
