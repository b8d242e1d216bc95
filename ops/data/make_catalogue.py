"""Writes `catalogue.csv`: a thousand items as a print shop would sell them, always the same ones.

Why: the demo and the benchmarks need a catalogue of real shape, and a seed makes it the same on every machine.

Run it by `python -m ops.data.make_catalogue`. Prices are in minor units: 1050 JPY is 1050 yen, 1050 KWD is 1.050 dinars
(Stripe takes multiples of ten only, F-12).
"""

import csv
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("catalogue.csv")
SEED: Final = 20260302
ITEMS: Final = 1000
# Minor units per pound sterling, and what a price is rounded to in that currency.
RATES: Final = {
    "GBP": (100, 5),
    "USD": (128, 5),
    "EUR": (117, 5),
    "INR": (10_800, 100),
    "ZAR": (2_350, 50),
    "JPY": (190, 10),
    "KWD": (390, 50),
}
LOCATIONS: Final = ("riga", "charlotte")
LAST_UNITS: Final = 12  # items of which only one unit is left
NOT_FOR_SALE: Final = 8
FIRST_VARIANT: Final = 4_318_772_001
HEADER: Final = (
    *("sku", "name", "available", "weight_grams", "printful_variant_id", "low_stock_threshold"),
    *(f"price_{currency.lower()}" for currency in RATES),
    *(f"stock_{location}" for location in LOCATIONS),
)
GARMENT_SIZES: Final = {"XS": 0.94, "S": 0.97, "M": 1.0, "L": 1.04, "XL": 1.08, "2XL": 1.14}


@dataclass(frozen=True)
class Product:
    """A product, its price in pence, its weight in grams, and how it varies: label to factor on price and weight."""

    code: str
    name: str
    pence: int
    grams: int
    first: tuple[str, ...]
    second: dict[str, float]


_COLOURS: Final = ("Black", "White", "Navy", "Forest", "Burgundy")
_DESIGNS: Final = ("Harbour at Dawn", "Paper Cranes", "Northern Lights", "Old Tram", "Wild Thyme")
_PAPER: Final = {"A4": 0.6, "A3": 1.0, "A2": 1.6, "50x70": 2.1}
PRODUCTS: Final = (
    Product("TEE-CLASSIC", "Classic T-Shirt", 1899, 170, _COLOURS, GARMENT_SIZES),
    Product("TEE-ORGANIC", "Organic Cotton T-Shirt", 2399, 180, _COLOURS, GARMENT_SIZES),
    Product("TEE-HEAVY", "Heavyweight T-Shirt", 2699, 240, _COLOURS, GARMENT_SIZES),
    Product("TEE-LONG", "Long-Sleeve T-Shirt", 2599, 220, _COLOURS, GARMENT_SIZES),
    Product("TEE-RAGLAN", "Baseball Raglan Shirt", 2799, 210, _COLOURS, GARMENT_SIZES),
    Product("TEE-RELAXED", "Relaxed Women's T-Shirt", 2199, 150, _COLOURS, GARMENT_SIZES),
    Product("TANK-RACER", "Racerback Tank Top", 1999, 120, _COLOURS, GARMENT_SIZES),
    Product("POLO-PIQUE", "Pique Polo Shirt", 2999, 230, _COLOURS, GARMENT_SIZES),
    Product("HOOD-CLASSIC", "Pullover Hoodie", 3999, 480, _COLOURS, GARMENT_SIZES),
    Product("HOOD-ZIP", "Zip Hoodie", 4499, 520, _COLOURS, GARMENT_SIZES),
    Product("HOOD-CROP", "Cropped Hoodie", 3799, 390, _COLOURS, GARMENT_SIZES),
    Product("SWEAT-CREW", "Crew Neck Sweatshirt", 3499, 430, _COLOURS, GARMENT_SIZES),
    Product("SWEAT-ORGANIC", "Organic Sweatshirt", 3899, 440, _COLOURS, GARMENT_SIZES),
    Product("JOG-FLEECE", "Fleece Joggers", 3699, 410, _COLOURS, GARMENT_SIZES),
    Product("SHORT-JERSEY", "Jersey Shorts", 2499, 200, _COLOURS, GARMENT_SIZES),
    Product("JACKET-COACH", "Coach Jacket", 5499, 390, _COLOURS, GARMENT_SIZES),
    Product("JACKET-DENIM", "Denim Jacket", 6999, 820, _COLOURS, GARMENT_SIZES),
    Product("VEST-PUFFER", "Puffer Vest", 5999, 510, _COLOURS, GARMENT_SIZES),
    Product("KIDS-TEE", "Kids' T-Shirt", 1599, 110, _COLOURS, {f"{age}Y": 1.0 for age in (2, 4, 6, 8, 10, 12)}),
    Product("BABY-BODY", "Baby Bodysuit", 1499, 80, _COLOURS, {f"{age}M": 1.0 for age in (3, 6, 9, 12, 18, 24)}),
    Product("POSTER-MATTE", "Matte Poster", 1399, 160, _DESIGNS, _PAPER),
    Product("POSTER-FRAMED", "Framed Poster", 3299, 1450, _DESIGNS, _PAPER),
    Product("CANVAS", "Stretched Canvas", 3899, 900, _DESIGNS, _PAPER),
    Product("PRINT-METAL", "Metal Print", 4599, 700, _DESIGNS, _PAPER),
    Product("MUG", "Mug", 999, 380, _DESIGNS, {"11oz": 1.0, "15oz": 1.2, "20oz": 1.45}),
    Product("MUG-ENAMEL", "Enamel Mug", 1299, 190, _DESIGNS, {"12oz": 1.0, "16oz": 1.2}),
    Product("BOTTLE", "Steel Water Bottle", 2199, 310, _DESIGNS, {"17oz": 1.0, "22oz": 1.2}),
    Product("TOTE", "Cotton Tote Bag", 1699, 150, _DESIGNS, {"Natural": 1.0, "Black": 1.0}),
    Product("BACKPACK", "Backpack", 4299, 640, _DESIGNS, {"Regular": 1.0, "Large": 1.2}),
    Product("CUSHION", "Cushion", 1999, 460, _DESIGNS, {"45x45": 1.0, "60x40": 1.1}),
    Product("BLANKET", "Throw Blanket", 3799, 900, _DESIGNS, {"127x152": 1.0, "152x203": 1.4}),
    Product("TOWEL", "Beach Towel", 2999, 480, _DESIGNS, {"76x152": 1.0}),
    Product("CASE-PHONE", "Phone Case", 1499, 40, _DESIGNS, {f"i{model}": 1.0 for model in (13, 14, 15, 16)}),
    Product("CASE-LAPTOP", "Laptop Sleeve", 2499, 260, _DESIGNS, {"13in": 1.0, "15in": 1.15}),
    Product("PAD-MOUSE", "Mouse Pad", 1199, 130, _DESIGNS, {"Regular": 1.0, "Desk": 2.2}),
    Product("NOTEBOOK", "Spiral Notebook", 1199, 280, _DESIGNS, {"Lined": 1.0, "Dotted": 1.0}),
    Product("STICKERS", "Sticker Sheet", 499, 20, _DESIGNS, {"Gloss": 1.0, "Matte": 1.0}),
    Product("CARD", "Greeting Cards, 10 Pieces", 1099, 140, _DESIGNS, {"A6": 1.0, "A5": 1.3}),
    Product("CAP-DAD", "Dad Cap", 1899, 90, _DESIGNS, {"Black": 1.0, "Khaki": 1.0, "Navy": 1.0}),
    Product("BEANIE", "Cuffed Beanie", 1799, 80, _DESIGNS, {"Black": 1.0, "Grey": 1.0, "Navy": 1.0}),
    Product("SOCKS", "Printed Socks", 1299, 60, _DESIGNS, {"M": 1.0, "L": 1.0}),
    Product("APRON", "Kitchen Apron", 2299, 220, _DESIGNS, {"White": 1.0, "Black": 1.0}),
    Product("PUZZLE", "Jigsaw Puzzle", 2399, 700, _DESIGNS, {"252": 0.8, "520": 1.0, "1014": 1.3}),
    Product("FLAG", "Wall Flag", 1999, 160, _DESIGNS, {"90x60": 1.0, "150x90": 1.3}),
    Product("COASTER", "Cork Coasters, Set of 4", 1099, 180, _DESIGNS, {"Round": 1.0, "Square": 1.0}),
    Product("MAGNET", "Fridge Magnet", 599, 25, _DESIGNS, {"Round": 1.0, "Square": 1.0, "Heart": 1.0}),
    Product("BANDANA", "Bandana", 1299, 50, _DESIGNS, {"S": 1.0, "M": 1.1, "L": 1.2}),
    Product("FLIPFLOP", "Flip-Flops", 1799, 240, _DESIGNS, {"S": 1.0, "M": 1.0, "L": 1.0}),
    Product("ORNAMENT", "Ceramic Ornament", 899, 60, _DESIGNS, {"Round": 1.0, "Star": 1.0, "Tree": 1.0}),
    Product("CALENDAR", "Wall Calendar", 1699, 260, _DESIGNS, {"A4": 1.0, "A3": 1.4, "Square": 1.2}),
    Product("PILLOWCASE", "Pillow Case", 1599, 170, _DESIGNS, {"Standard": 1.0, "King": 1.2}),
)


def rows() -> list[dict[str, object]]:
    """The items in the order of their SKU."""
    chance = random.Random(SEED)
    variants = itertools.islice(_variants(), ITEMS)
    items = [_item(number, *variant, chance) for number, variant in enumerate(variants)]
    if len(items) != ITEMS:
        raise SystemExit(f"the products make {len(items)} items, not {ITEMS}")
    for item in chance.sample(items, LAST_UNITS + NOT_FOR_SALE):
        if sum(row["available"] == "no" for row in items) < NOT_FOR_SALE:
            item["available"] = "no"
        else:
            item |= {"stock_riga": 1, "stock_charlotte": 0}
    return sorted(items, key=lambda item: str(item["sku"]))


def write(path: Path = FILE) -> None:
    """Write the file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())


def _variants() -> Iterator[tuple[Product, str, str]]:
    for product in PRODUCTS:
        for first, second in itertools.product(product.first, product.second):
            yield product, first, second


def _item(number: int, product: Product, first: str, second: str, chance: random.Random) -> dict[str, object]:
    code = "".join(word[0] for word in first.split()).upper() if " " in first else first[:3].upper()
    factor = product.second[second]
    prices = {
        f"price_{currency.lower()}": max(round(product.pence * factor * rate / 100 / step), 1) * step
        for currency, (rate, step) in RATES.items()
    }
    return {
        "sku": f"{product.code}-{code}-{second.upper()}",
        "name": f"{product.name}, {first}, {second}",
        "available": "yes",
        "weight_grams": round(product.grams * factor),
        "printful_variant_id": FIRST_VARIANT + number * 3,
        "low_stock_threshold": chance.choice((0, 0, 0, 3, 10)),
        **prices,
        **{f"stock_{location}": chance.randint(20, 400) for location in LOCATIONS},
    }


if __name__ == "__main__":
    write()
