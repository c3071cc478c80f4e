"""Amazon reviews by category: 2014 and 2018 of users and products with five reviews at least, 2023 whole.

References:
    McAuley, Targett, Shi, van den Hengel (2015), Image-based Recommendations on Styles and Substitutes, SIGIR.
    Ni, Li, McAuley (2019), Justifying Recommendations using Distantly-Labeled Reviews, EMNLP.
    Hou, Li, He, Yan, Chen, McAuley (2024), Bridging Language and Items for Retrieval and Recommendation.
"""

from __future__ import annotations

from ensue.events.datasets.dataset import Count, Dataset, Download

_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_LAB = "https://mcauleylab.ucsd.edu/public_datasets/data"

_2014: dict[str, tuple[int, int | None, int | None]] = {
    "Amazon_Instant_Video": (37_126, None, None),
    "Apps_for_Android": (752_937, None, None),
    "Automotive": (20_473, None, None),
    "Baby": (160_792, None, None),
    "Beauty": (198_502, 22_363, 12_101),
    "Books": (8_898_041, None, None),
    "CDs_and_Vinyl": (1_097_592, None, None),
    "Cell_Phones_and_Accessories": (194_439, None, None),
    "Clothing_Shoes_and_Jewelry": (278_677, None, None),
    "Digital_Music": (64_706, None, None),
    "Electronics": (1_689_188, None, None),
    "Grocery_and_Gourmet_Food": (151_254, 14_681, 8_713),
    "Health_and_Personal_Care": (346_355, None, None),
    "Home_and_Kitchen": (551_682, None, None),
    "Kindle_Store": (982_619, None, None),
    "Movies_and_TV": (1_697_533, None, None),
    "Musical_Instruments": (10_261, None, None),
    "Office_Products": (53_258, None, None),
    "Patio_Lawn_and_Garden": (13_272, None, None),
    "Pet_Supplies": (157_836, None, None),
    "Sports_and_Outdoors": (296_337, 35_598, 18_357),
    "Tools_and_Home_Improvement": (134_476, None, None),
    "Toys_and_Games": (167_597, 19_412, 11_924),
    "Video_Games": (231_780, None, None),
}
"""Category -> reviews, users, products."""

_2018 = {
    "AMAZON_FASHION": 3_176,
    "All_Beauty": 5_269,
    "Appliances": 2_277,
    "Arts_Crafts_and_Sewing": 494_485,
    "Automotive": 1_711_519,
    "Books": 27_164_983,
    "CDs_and_Vinyl": 1_443_755,
    "Cell_Phones_and_Accessories": 1_128_437,
    "Clothing_Shoes_and_Jewelry": 11_285_464,
    "Digital_Music": 169_781,
    "Electronics": 6_739_590,
    "Gift_Cards": 2_972,
    "Grocery_and_Gourmet_Food": 1_143_860,
    "Home_and_Kitchen": 6_898_955,
    "Industrial_and_Scientific": 77_071,
    "Kindle_Store": 2_222_983,
    "Luxury_Beauty": 34_278,
    "Magazine_Subscriptions": 2_375,
    "Movies_and_TV": 3_410_019,
    "Musical_Instruments": 231_392,
    "Office_Products": 800_357,
    "Patio_Lawn_and_Garden": 798_415,
    "Pet_Supplies": 2_098_325,
    "Prime_Pantry": 137_788,
    "Software": 12_805,
    "Sports_and_Outdoors": 2_839_940,
    "Tools_and_Home_Improvement": 2_070_831,
    "Toys_and_Games": 1_828_971,
    "Video_Games": 497_577,
}
"""Category -> reviews."""

_2023: dict[str, tuple[Count, Count, Count]] = {
    "All_Beauty": ("701.5K", "632.0K", "112.6K"),
    "Amazon_Fashion": ("2.5M", "2.0M", "825.9K"),
    "Appliances": ("2.1M", "1.8M", "94.3K"),
    "Arts_Crafts_and_Sewing": ("9.0M", "4.6M", "801.3K"),
    "Automotive": ("20.0M", "8.0M", "2.0M"),
    "Baby_Products": ("6.0M", "3.4M", "217.7K"),
    "Beauty_and_Personal_Care": ("23.9M", "11.3M", "1.0M"),
    "Books": ("29.5M", "10.3M", "4.4M"),
    "CDs_and_Vinyl": ("4.8M", "1.8M", "701.7K"),
    "Cell_Phones_and_Accessories": ("20.8M", "11.6M", "1.3M"),
    "Clothing_Shoes_and_Jewelry": ("66.0M", "22.6M", "7.2M"),
    "Digital_Music": ("130.4K", "101.0K", "70.5K"),
    "Electronics": ("43.9M", "18.3M", "1.6M"),
    "Gift_Cards": ("152.4K", "132.7K", "1.1K"),
    "Grocery_and_Gourmet_Food": ("14.3M", "7.0M", "603.2K"),
    "Handmade_Products": ("664.2K", "586.6K", "164.7K"),
    "Health_and_Household": ("25.6M", "12.5M", "797.4K"),
    "Health_and_Personal_Care": ("494.1K", "461.7K", "60.3K"),
    "Home_and_Kitchen": ("67.4M", "23.2M", "3.7M"),
    "Industrial_and_Scientific": ("5.2M", "3.4M", "427.5K"),
    "Kindle_Store": ("25.6M", "5.6M", "1.6M"),
    "Magazine_Subscriptions": ("71.5K", "60.1K", "3.4K"),
    "Movies_and_TV": ("17.3M", "6.5M", "747.8K"),
    "Musical_Instruments": ("3.0M", "1.8M", "213.6K"),
    "Office_Products": ("12.8M", "7.6M", "710.4K"),
    "Patio_Lawn_and_Garden": ("16.5M", "8.6M", "851.7K"),
    "Pet_Supplies": ("16.8M", "7.8M", "492.7K"),
    "Software": ("4.9M", "2.6M", "89.2K"),
    "Sports_and_Outdoors": ("19.6M", "10.3M", "1.6M"),
    "Subscription_Boxes": ("16.2K", "15.2K", 641),
    "Tools_and_Home_Improvement": ("27.0M", "12.2M", "1.5M"),
    "Toys_and_Games": ("16.3M", "8.1M", "890.7K"),
    "Unknown": ("63.8M", "23.1M", "13.2M"),
    "Video_Games": ("4.6M", "2.8M", "137.2K"),
}
"""Category -> reviews, users, products, as their page rounds them."""


def _set(
    year: int, category: str, home: str, reviews: str, products: str, counts: tuple[Count, Count, Count]
) -> Dataset:
    """The reviews and products of one category."""
    files = tuple(url.rpartition("/")[2] for url in (reviews, products))
    return Dataset(
        name=f"amazon-{year}/{category}",
        what=f"product reviews of {category.replace('_', ' ')}",
        home=home,
        licence="research; none is stated",
        terms=(
            f"The Amazon reviews of {year} were collected by the group of Julian McAuley (University of California San "
            f"Diego). Its page grants no licence; they are meant for research. The paper to cite is named there: {home}"
        ),
        downloads=tuple(
            Download(url, file=file) for url, file in zip((reviews, products), files, strict=True)
        ),
        members=files,
        events=counts[0],
        users=counts[1],
        items=counts[2],
    )


SETS = (
    *(
        _set(
            2014,
            category,
            "https://jmcauley.ucsd.edu/data/amazon/",
            f"{_SNAP}/reviews_{category}_5.json.gz",
            f"{_SNAP}/meta_{category}.json.gz",
            counts,
        )
        for category, counts in _2014.items()
    ),
    *(
        _set(
            2018,
            category,
            "https://nijianmo.github.io/amazon/",
            f"{_LAB}/amazon_v2/categoryFilesSmall/{category}_5.json.gz",
            f"{_LAB}/amazon_v2/metaFiles2/meta_{category}.json.gz",
            (reviews, None, None),
        )
        for category, reviews in _2018.items()
    ),
    *(
        _set(
            2023,
            category,
            "https://amazon-reviews-2023.github.io/",
            f"{_LAB}/amazon_2023/raw/review_categories/{category}.jsonl.gz",
            f"{_LAB}/amazon_2023/raw/meta_categories/meta_{category}.jsonl.gz",
            counts,
        )
        for category, counts in _2023.items()
    ),
)
